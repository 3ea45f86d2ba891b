"""A sweep in units of one run and half a scoring, stopped half way: the bytes of a local run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.pipeline.project import Project, make_data, make_project

pytestmark = [pytest.mark.pipeline, pytest.mark.crash, pytest.mark.determinism]

SCORING = "score@disagreement"
STAGES = (SCORING, "finetune@questions-uniform-2", "evaluate@questions-uniform-2")
CELL = ("data/adapters", "data/curves", "data/predictions", "metrics/cells")
MADE = ("data/scores", "metrics/scores", *CELL)


def test_units_of_a_run_and_of_half_a_scoring_make_the_bytes_of_a_local_run(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: adarank[slurm]")
    project = make_project(tmp_path / "project", make_data(tmp_path / "data"))
    project.change(
        study__signals=["disagreement"],
        study__task_signals=[],
        study__strategies=["uniform"],
        finetune__learning_rate=[0.001, 0.01],
    )
    project.dvc("repro", *STAGES, ADARANK_SCRATCH="off")
    before, lock = _made(project), _locked(project)
    for folder in (*MADE, ".dvc/cache"):
        shutil.rmtree(project.path / folder)
    store = tmp_path / "store"
    sweep = _start(project, store)
    # Two halves of the scoring, and its own stage; then the first of the cell's.
    _wait_for(sweep, lambda: len(_records(store)) >= 4)
    sweep.send_signal(signal.SIGINT)
    said = sweep.communicate(timeout=120)[1]
    assert sweep.returncode == 130 and "RUNS=1 SHARES=2" in said, said
    stopped = _records(store)
    sweep = _start(project, store)
    said = sweep.communicate(timeout=400)[1]
    assert sweep.returncode == 0, said
    assert (_made(project), _locked(project)) == (before, lock)
    assert len(before) > 8 and "finetune ran, evaluate ran" in said
    # And two rates, two seeds, the cell's own two stages: what was done was not done again.
    assert len(_records(store)) == 9 and stopped.items() <= _records(store).items()
    log = (project.path / f"timings/sweep/{SCORING}.log").read_text()
    assert re.search(r"finished parts found in the scratch store", log), log
    log = (project.path / f"timings/sweep/{STAGES[1]}.log").read_text()
    assert re.search(r"seeds 0, 1 taken from the scratch store", log), log
    assert re.search(r"learning rates 0.001, 0.01 taken from the scratch store", log), log


def _start(project: Project, store: Path) -> "subprocess.Popen[str]":
    added = {"ADARANK_SLURM": "local", "ADARANK_SCRATCH": str(store), "COLUMNS": "100"}
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "adarank.commands.sweep",
            *"--where slurm --runs 1 --shares 2".split(),
        ],
        cwd=project.path,
        env={**os.environ, **project.environment, **added},
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for(sweep: "subprocess.Popen[str]", true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 600
    while not true():
        assert sweep.poll() is None and time.monotonic() < ends, sweep.communicate()[1]
        time.sleep(0.2)


def _records(store: Path) -> dict[str, float]:
    return {path.name: path.stat().st_mtime for path in store.glob("steps/*")}


def _made(project: Project) -> dict[str, bytes]:
    files = (f for name in MADE for f in (project.path / name).rglob("*") if f.is_file())
    return {file.relative_to(project.path).as_posix(): file.read_bytes() for file in files}


def _locked(project: Project) -> list[Any]:
    stages = YAML(typ="safe").load(project.lock())["stages"]
    return [stages[name] for name in STAGES]
