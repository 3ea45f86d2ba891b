"""A sweep runs what is missing, cells side by side, and no failure stops what can go on."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.pipeline.toy_study import ToyStudy, outcome

pytestmark = pytest.mark.pipeline


@pytest.fixture
def toy(tmp_path: Path) -> ToyStudy:
    return ToyStudy(tmp_path / "toy")


def test_it_runs_all_then_nothing_then_what_is_missing(toy: ToyStudy) -> None:
    code, said = toy.sweep(jobs=2)
    assert code == 0, said
    assert (toy.path / "report.txt").read_text() == "a-1 goodb-1 good"
    assert outcome(said, "b-1") == "finetune ran, evaluate ran"
    assert outcome(said, "report") == "report ran"
    threads = {threads for what, _, threads in toy.began() if what.startswith("adapter")}
    assert threads == {str(max(1, len(os.sched_getaffinity(0)) // 2))}

    code, said = toy.sweep()
    assert (code, toy.began()) == (0, [])
    assert outcome(said, "a-1") == "finetune unchanged, evaluate unchanged"

    toy.order(**{"adapter-b-1": "better"})
    code, said = toy.sweep(OMP_NUM_THREADS="7")
    assert code == 0 and [(what, n) for what, _, n in toy.began()] == [("adapter-b-1", "7")]
    assert "b-1 better" in (toy.path / "report.txt").read_text()

    toy.order(**{"adapter-b-1": "good"})
    code, said = toy.sweep()
    assert (code, toy.began()) == (0, [])
    assert outcome(said, "b-1") == "finetune restored, evaluate restored"


def test_failures_stop_no_other_cell_and_are_told_in_their_own_words(toy: ToyStudy) -> None:
    toy.order(**{"plan-a-1": "refuse", "adapter-b-1": "crash"})
    code, said = toy.sweep(jobs=1)
    assert code == 1
    assert {what for what, *_ in toy.began()} == {"plan-a-1", "plan-b-1", "adapter-b-1"}
    assert outcome(said, "a-1") == "not run, it needs allocate@a-1"
    assert outcome(said, "b-1") == "FAILED in finetune@b-1"
    assert outcome(said, "summarize") == "not run, it needs a-1, b-1"
    assert outcome(said, "report") == "not run, it needs a-1, b-1"
    assert not (toy.path / "summary.txt").exists()
    _, _, told = said.partition("allocate@a-1 failed:")
    common, _, crash = told.partition("finetune@b-1 failed:")
    assert [line.strip() for line in common.strip().splitlines()] == [
        "study.budgets: too small",
        "remedy:   a larger one",
        "all it printed: timings/sweep/what-the-cells-share.log",
    ]
    assert [line.strip() for line in crash.strip().splitlines()] == [
        "ValueError: no such weather",
        "all it printed: timings/sweep/finetune@b-1.log",
    ]
    assert "Traceback" in (toy.path / "timings/sweep/finetune@b-1.log").read_text()


def test_an_interrupt_stops_the_children_and_what_had_finished_is_kept(toy: ToyStudy) -> None:
    toy.order(**{"adapter-b-1": "sleep"})
    process = toy.start(jobs=2)
    sleeping = _wait_for(toy, "adapter-b-1", beside=toy.path / "cells/a-1")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "go on with: make sweep JOBS=2" in said and "Traceback" not in said
    assert not _alive(sleeping)

    toy.began()
    toy.order(**{"adapter-b-1": "good"})
    code, said = toy.sweep()
    assert code == 0, said
    assert [what for what, *_ in toy.began()] == ["adapter-b-1"]


def test_a_pipeline_that_cannot_be_read_is_told_without_a_traceback(toy: ToyStudy) -> None:
    (toy.path / "dvc.yaml").write_text("stages:\n  finetune@a-1: {}\n")
    code, said = toy.sweep()
    assert code == 2 and "sweep: cannot go on" in said and "Traceback" not in said


def _wait_for(toy: ToyStudy, wanted: str, beside: Path) -> int:
    """Wait until a script has begun and a file is there; the script's process id."""
    record = toy.path / "began"
    for _ in range(600):
        lines = record.read_text().splitlines() if record.exists() else []
        begun = {line.split()[0]: int(line.split()[1]) for line in lines}
        if wanted in begun and beside.exists():
            return begun[wanted]
        time.sleep(0.1)
    raise AssertionError(f"only {begun} began")


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
