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


def test_what_is_in_the_log_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    measured: list[int] = []

    def apart(_context: object, work: object, *args: object) -> int:
        if work is memory.peak and args[0] is not None:
            measured.append(int(str(args[1])))
        return int(str(args[1]))

    monkeypatch.setattr(memory, "_apart", apart)
    first = memory.measure(["linearized"], [10, 40, 85], log)
    assert measured == [10, 40, 85]
    assert memory.measure(["linearized"], [10, 40, 85], log) == first
    assert measured == [10, 40, 85]
    memory.measure(["linearized"], [10, 40, 85, 160], log)
    assert measured == [10, 40, 85, 160]


@pytest.mark.parametrize("case", ["linearized", "exact", "learned order"])
def test_a_dry_run_counts_the_weights_and_what_is_held_beside_them(case: str) -> None:
    found = memory.dry_run(case, 600)
    weights = 4 * sum(p.numel() for p in memory.empty_llama(*memory.SHAPES[600]).parameters())
    assert found is not None and weights < found < 1.3 * weights
    assert memory.dry_run("fisher", 600) is None
