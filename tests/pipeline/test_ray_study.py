"""A pico study on two Ray nodes, its store in a bucket, a node killed: the bytes of a local run."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from adarank.pipeline.scratch.shelf import RemoteShelf
from bench.two_nodes import TwoNodes
from tests.pipeline.project import Project, make_data, make_project
from tests.ray_cluster import ray_nodes
from tests.s3_server import BUCKET, s3_server

pytestmark = [pytest.mark.pipeline, pytest.mark.crash, pytest.mark.determinism]

STORE = f"s3://{BUCKET}/scratch"
CELLS = ("data/adapters", "data/curves", "data/predictions", "metrics/cells", "metrics/confusion")
KINDS = ("finetune", "evaluate")
STAGES = [f"{kind}@questions-{plan}-2" for kind in KINDS for plan in ("uniform", "disagreement")]


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    with s3_server(monkeypatch) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("ADARANK_CACHE", str(tmp_path / "cache"))
        with ray_nodes() as nodes:
            yield nodes


def test_the_bytes_are_those_of_a_local_run(nodes: TwoNodes, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", make_data(tmp_path / "data"))
    project.change(study__signals=["disagreement"], study__task_signals=[], study__seeds=[0])
    project.dvc("repro", *STAGES)
    before, lock = _made(project), _locked(project)
    for folder in (*CELLS, ".dvc/cache"):
        shutil.rmtree(project.path / folder)
    sweep = _start(project, nodes)
    _wait_for_steps_under_way(sweep)
    nodes.kill_node()
    said = sweep.communicate(timeout=500)[1]
    assert sweep.returncode == 0, said
    assert len(re.findall(r"finetune ran, evaluate ran +\d", said)) == 2
    assert len(before) > 8 and (_made(project), _locked(project)) == (before, lock)
    assert project.repro() == []


def _start(project: Project, nodes: TwoNodes) -> "subprocess.Popen[str]":
    added = {"RAY_ADDRESS": nodes.address, "ADARANK_SCRATCH": STORE, "COLUMNS": "100"}
    return subprocess.Popen(
        [sys.executable, "-m", "adarank.commands.sweep", "--where", "ray"],
        cwd=project.path,
        env={**os.environ, **project.environment, **added},
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_steps_under_way(sweep: "subprocess.Popen[str]") -> None:
    shelf, ends = RemoteShelf(STORE), time.monotonic() + 300
    while len(shelf.beginning("now/")) < 2:
        assert sweep.poll() is None and time.monotonic() < ends, sweep.communicate()[1]
        time.sleep(0.2)


def _made(project: Project) -> dict[str, bytes]:
    files = (f for name in CELLS for f in (project.path / name).rglob("*") if f.is_file())
    return {file.relative_to(project.path).as_posix(): file.read_bytes() for file in files}


def _locked(project: Project) -> list[Any]:
    stages = YAML(typ="safe").load(project.lock())["stages"]
    return [stages[name] for name in STAGES]
