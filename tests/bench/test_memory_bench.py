"""The memory benchmark: its fit, and one measurement of a pico model in a process of its own."""

import multiprocessing

import pytest

from bench import memory


def test_the_line_is_through_all_sizes_but_the_largest() -> None:
    line = memory.fitted([10, 20, 30, 100], [140, 240, 340, 1300])
    assert line.per_parameter == pytest.approx(10)
    assert line.base == pytest.approx(40)
    assert line.at(1000) == pytest.approx(10040)
    assert line.error == pytest.approx(1040 / 1300 - 1)


@pytest.mark.parametrize("case", memory.CASES)
def test_every_case_runs(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(memory.SHAPES, 0, (64, 2))
    parameters, resident = memory.peak(case, 0)
    assert parameters > 0 and resident > 10 * 2**20


def test_a_process_of_its_own_holds_the_models_weights() -> None:
    context = multiprocessing.get_context("forkserver")
    nothing, model = (memory._apart(context, case, 10) for case in (None, "the model alone"))
    assert model[1] - nothing[1] == pytest.approx(4 * model[0], rel=0.25)
