"""Units: named by all that decides them, run once, fetched whole, and reported when they fail."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from adarank.errors import InputError
from adarank.pipeline.clusters.blobs import Blobs
from adarank.pipeline.clusters.fetch import STEP, NotThereError, fetch
from adarank.pipeline.clusters.machines import check_machines
from adarank.pipeline.clusters.steps import unit_from, values_of
from adarank.pipeline.clusters.versions import differences, versions_here
from adarank.pipeline.clusters.worker import run_unit
from adarank.pipeline.scratch.closure import ROOT
from tests.adarank.pipeline.clusters.units import (
    PARAMS,
    make_order,
    make_unit,
    run_order,
    times_run,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The driver's folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def on_a_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.chdir(folder)


def test_a_unit_runs_once_and_its_results_come_back(
    here: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = make_unit(here, blobs)
    assert unit_from(unit.to_json()) == unit
    for machine, happened in (("one", "ran"), ("two", "found")):
        on_a_machine(here / machine, monkeypatch)
        report = run_unit(unit, blobs)
        assert report.happened == {"make@a": happened, "copy@a": happened}, report.log
        assert Path("copied").read_text() == "1 2 3\n" * 2
    assert times_run(here) == 1
    monkeypatch.chdir(here)
    (here / "params.yaml").write_text(PARAMS)
    for step in unit.steps:
        fetch(step, blobs)
    assert (here / "copied").read_text() == (here / "made/out.txt").read_text() == "1 2 3\n" * 2
    assert not (here / "copied").is_symlink()


def test_all_that_decides_a_step_is_in_its_name_and_words_are_not(here: Path, blobs: Blobs) -> None:
    first, second = make_unit(here, blobs).steps
    (here / "made").mkdir()
    (here / "made/out.txt").write_text("x")
    others = [
        replace(first, command="python work.py -v"),
        replace(first, params={"tasks.a": {"steps": 4}}),
        replace(first, code="other"),
        replace(first, inputs={**first.inputs, "rows": "0" * 64}),
        replace(first, setting={"threads": 2}),
        replace(first, outs=("made", "more")),
    ]
    assert len({first.digest(), *(one.digest() for one in others)}) == len(others) + 1
    assert replace(first, stage="other@a").digest() == first.digest()
    before = second.digest()
    (here / "made/out.txt").write_text("y")
    assert second.digest() != before
    # An earlier step's results are the same inputs once they lie in the workspace.
    hashes = {"made/out.txt": hashlib.sha256(b"y").hexdigest()}
    assert replace(second, inputs=hashes, needs=()).digest() == second.digest()


def test_nothing_is_fetched_for_inputs_that_changed_meanwhile(
    here: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = make_unit(here, blobs)
    (here / "params.yaml").write_text(PARAMS)
    step = unit.steps[0]
    with pytest.raises(NotThereError, match="nobody has made it"):
        fetch(step, blobs)
    on_a_machine(here / "one", monkeypatch)
    run_unit(unit, blobs)
    monkeypatch.chdir(here)
    (here / "params.yaml").write_text(PARAMS.replace("3", "4"))
    (here / "rows").write_text("edited")
    with pytest.raises(InputError, match="changed while") as raised:
        fetch(step, blobs)
    assert "params.yaml: tasks.a, rows" in str(raised.value)
    with pytest.raises(InputError, match="the code"):
        fetch(replace(step, code="older"), blobs)
    assert not (here / "made").exists()


def test_a_step_that_fails_is_told_and_stores_nothing(
    here: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = make_unit(here, blobs, order="raise ValueError('no such weather')\n")
    on_a_machine(here / "one", monkeypatch)
    report = run_unit(unit, blobs)
    assert (report.failed, report.code, report.happened) == ("make@a", 1, {})
    assert "ValueError: no such weather" in report.log
    assert blobs.record(unit.steps[0].digest()) is None


def test_a_step_that_a_signal_ended_says_so(
    here: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = make_unit(here, blobs, order="import os\nos.kill(os.getpid(), 9)\n")
    on_a_machine(here / "one", monkeypatch)
    report = run_unit(unit, blobs)
    assert (
        report.code == -9 and "ended by SIGKILL, as when a machine's memory is full" in report.log
    )


def test_a_machine_of_other_versions_refuses(here: Path, blobs: Blobs) -> None:
    unit = replace(make_unit(here, blobs), versions={**versions_here(), "torch": "1.0"})
    report = run_unit(unit, blobs)
    assert report.refused == [f"torch {versions_here()['torch']}, not 1.0"]
    assert times_run(here) == 0


def test_builds_for_several_devices_are_one_version() -> None:
    assert differences({"torch": "2.13.0+cpu"}, {"torch": "2.13.0+cu130"}) == []
    assert differences({"torch": "2.13.0"}, {}) == ["torch none, not 2.13.0"]


def test_a_damaged_input_is_named_and_removed(
    here: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = make_unit(here, blobs)
    digest = unit.steps[0].inputs["rows"]
    (here / "store/files" / digest).write_text("1 2 4\n")
    on_a_machine(here / "one", monkeypatch)
    with pytest.raises(OSError, match=f"{digest} was damaged, and is removed"):
        run_unit(unit, blobs)
    assert not (here / "store/files" / digest).exists() and times_run(here) == 0


def test_a_record_counts_only_while_all_its_files_are_there(
    here: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = make_unit(here, blobs)
    on_a_machine(here / "one", monkeypatch)
    run_unit(unit, blobs)
    digest = unit.steps[0].digest()
    record = blobs.record(digest)
    assert record is not None and list(record["files"]) == ["made/out.txt"]
    (here / "store/files" / record["files"]["made/out.txt"]).unlink()
    assert blobs.record(digest) is None
    (here / "store/steps" / digest).write_text("{")
    assert blobs.record(digest) is None


def test_an_order_runs_with_the_code_of_the_store_alone(here: Path, blobs: Blobs) -> None:
    unit = make_unit(here, blobs)
    assert run_order(make_order(blobs, unit.to_json()))["happened"]["copy@a"] == "ran"
    assert run_order(make_order(blobs, unit.to_json()))["happened"]["copy@a"] == "found"
    report = run_order(make_order(blobs, "", "versions"))
    assert report["versions"] == versions_here() and report["store"] is None


def test_an_order_that_cannot_run_returns_why(here: Path, blobs: Blobs) -> None:
    order = make_order(blobs, "{}")
    assert "ended with exit code 1" in run_order(order)["broken"]
    lost = run_order(replace(order, code="0" * 64))
    assert "FileNotFoundError" in lost["broken"] and lost["host"]
    (here / "store/files" / order.code).chmod(0o644)
    (here / "store/files" / order.code).write_bytes(b"no code")
    assert "is damaged" in run_order(order)["broken"]


def test_every_machine_that_is_unfit_is_named() -> None:
    here = versions_here()
    reports = [
        {"host": "a", "broken": "FileNotFoundError: /scratch/files/abc"},
        {"host": "b", "versions": {}, "store": None},
        {"host": "c", "versions": here, "store": "OSError: read-only"},
    ]
    with pytest.raises(InputError) as raised:
        check_machines(map(json.dumps, reports), {"python": here["python"]})
    said = str(raised.value)
    assert [p.where for p in raised.value.problems] == ["a", "b", "c"]
    assert f"python none, not {here['python']}" in said and "read-only" in said
    check_machines(['{"host": "d", "versions": {}, "store": null}'], {})


def test_parameters_are_looked_up_by_dvcs_keys() -> None:
    params = "a:\n  b: [1, 2]\nc:\n"
    assert values_of(["a.b", "a", "c", "c.d", "e.f"], params) == {
        "a.b": [1, 2],
        "a": {"b": [1, 2]},
        "c": None,
        "c.d": None,
        "e.f": None,
    }
    assert values_of(["a"], "") == {"a": None}


def test_a_fetch_that_cannot_be_says_why_in_its_own_words(here: Path, blobs: Blobs) -> None:
    step = make_unit(here, blobs).steps[0]
    (here / "params.yaml").write_text(PARAMS)
    (here / "step.json").write_text(json.dumps(asdict(step)))
    done = subprocess.run(
        [sys.executable, "-m", "adarank.pipeline.clusters.fetch", *step.command.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT), STEP: "step.json"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr == "fetch: cannot go on\nmake@a: nobody has made it\n"
