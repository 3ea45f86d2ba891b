"""A sweep on a Ray cluster of two nodes: what fails, is lost or is stopped harms nothing else."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bench.two_nodes import TwoNodes
from tests.pipeline.toy_cells import ToyCells
from tests.pipeline.toy_study import outcome
from tests.ray_cluster import ray_nodes

pytestmark = [pytest.mark.pipeline, pytest.mark.crash]


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    with ray_nodes() as cluster:
        yield cluster


def test_cells_that_fail_or_are_lost_stop_no_other(cluster: TwoNodes, tmp_path: Path) -> None:
    toy = ToyCells(
        tmp_path / "toy",
        good="good",
        crash="crash",
        held="unpicklable",
        once="murder-once",
        always="murder",
    )
    sweep = ("--where", "ray", "--retries", "1")
    code, said = toy.sweep(*sweep, RAY_ADDRESS=cluster.address)
    assert code == 1, said
    # What fails by itself is not tried again; what is lost is, once here.
    assert toy.runs() == {"good": 1, "crash": 1, "held": 1, "once": 2, "always": 2}
    for cell in ("good", "once"):
        assert outcome(said, cell) == "finetune ran, evaluate ran"
        assert (toy.path / f"cells-{cell}").read_text().startswith(cell)
    assert outcome(said, "crash") == "FAILED in finetune@crash"
    assert outcome(said, "always") == "FAILED in finetune@always: lost with its machine"
    assert outcome(said, "summarize") == "not run, it needs crash, held, always"
    assert "ValueError: no such weather" in said
    assert "Held: this error holds a lock" in said
    assert "WorkerCrashedError" in said and "Traceback" not in said
    assert "Traceback" in (toy.path / "timings/sweep/finetune@crash.log").read_text()

    for cell in ("crash", "held", "always"):
        (toy.path / "orders" / cell).write_text("good")
    code, said = toy.sweep(*sweep, RAY_ADDRESS=cluster.address)
    assert code == 0, said
    assert toy.runs() == {"good": 1, "crash": 2, "held": 2, "once": 2, "always": 3}
    assert outcome(said, "good") == "finetune unchanged, evaluate unchanged"
    assert toy.repro() == []


def test_results_that_are_in_the_store_are_only_gathered(cluster: TwoNodes, tmp_path: Path) -> None:
    # Of one cell: the summary is the cell's own then, and runs here.
    first = ToyCells(tmp_path / "first", a="good")
    assert first.sweep("--where", "ray", RAY_ADDRESS=cluster.address)[0] == 0
    # Another checkout of the same study, as another user has it.
    second = ToyCells(tmp_path / "second", a="good")
    (second.path / "dvc.yaml").write_text((first.path / "dvc.yaml").read_text())
    code, said = second.sweep(
        "--where", "ray", RAY_ADDRESS=cluster.address, ADARANK_SCRATCH=str(first.store)
    )
    assert code == 0, said
    assert first.runs() == {"a": 1} and second.repro() == []


def test_ctrl_c_stops_what_runs_on_the_nodes(cluster: TwoNodes, tmp_path: Path) -> None:
    toy = ToyCells(tmp_path / "toy", a="sleep300", b="sleep300")
    process = toy.start("--where", "ray", RAY_ADDRESS=cluster.address)
    _wait_until(lambda: len(toy.runs()) == 2)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "go on with: make sweep JOBS=2 WHERE=ray" in said and "Traceback" not in said
    _wait_until(lambda: not any(_alive(pid) for _, pid in toy.processes()))


def test_more_than_any_machine_has_is_refused(cluster: TwoNodes, tmp_path: Path) -> None:
    toy = ToyCells(tmp_path / "toy", a="good")
    code, said = toy.sweep("--where", "ray", "--gpus", "0.5", RAY_ADDRESS=cluster.address)
    assert code == 2 and toy.runs() == {}
    assert "got:      1 CPUs and 0.5 GPUs a unit" in said and "1 CPUs and 0 GPUs" in said


def test_a_node_that_is_lost_half_way_loses_nothing(cluster: TwoNodes, tmp_path: Path) -> None:
    toy = ToyCells(tmp_path / "toy", a="sleep4", b="sleep4")
    process = toy.start("--where", "ray", RAY_ADDRESS=cluster.address)
    _wait_until(lambda: len(toy.runs()) == 2)
    cluster.kill_node()
    said = process.communicate(timeout=120)[1]
    cluster.add_node()
    assert process.returncode == 0, said
    assert sorted(toy.runs().values()) == [1, 2]
    assert toy.repro() == []


def _wait_until(true: Callable[[], bool], seconds: float = 90) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come to this"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
