"""The memory benchmark: its fit, and one measurement of a pico model in a process of its own."""

import multiprocessing
from pathlib import Path

import pytest

from bench import memory


def test_the_line_is_through_all_sizes_but_the_largest() -> None:
    line = memory.fitted([10, 20, 30, 100], [140, 240, 340, 1300])
    assert line.per_parameter == pytest.approx(10)
    assert line.base == pytest.approx(40)
    assert line.at(1000) == pytest.approx(10040)
    assert line.error == pytest.approx(1040 / 1300 - 1)
    bounded = memory.fitted([1, 10, 20, 30, 100], [0, 140, 240, 340, 1300], bounded=True)
    assert bounded.per_parameter == pytest.approx(10)


@pytest.mark.parametrize("case", memory.CASES)
def test_every_case_runs(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(memory.SHAPES, 0, (64, 2))
    assert memory.prepared(case, 0, tmp_path) > 0
    assert memory.peak(case, 0, tmp_path) > 10 * 2**20


def test_a_process_of_its_own_holds_the_models_weights() -> None:
    context = multiprocessing.get_context("forkserver")
    nothing, model = (
        memory._apart(context, memory.peak, case, 10, Path()) for case in (None, "the model alone")
    )
    parameters = memory.prepared("the model alone", 10, Path())
    assert model - nothing == pytest.approx(4 * parameters, rel=0.25)
