"""Merges in the graph: members are trained once, whatever merges them; a study of none has none."""

import copy
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from adarank.pipeline.files.whole import read_json
from tests.pipeline import test_contract
from tests.pipeline.conftest import Run
from tests.pipeline.project import Project, make_data, make_project
from tests.pipeline.test_repro import kinds

AFTER_MERGES = {"summarize", "report", "best"}
MERGE: dict[str, Any] = {
    "strategy": "uniform",
    "budget": 2,
    "scaling": [0.3, 1.0],
    "steps": 2,
    "batch_size": 4,
    "check_every": 1,
}


def merging_project(folder: Path, data: Path) -> Project:
    """A pico project of two tasks that merges by one method."""
    project = make_project(folder, data)
    path, yaml = project.path / "params.yaml", YAML()
    params = yaml.load(path)
    params["tasks"]["places"] = copy.deepcopy(params["tasks"]["questions"])
    yaml.dump(params, path)
    project.change(
        merge=MERGE,
        study__tasks=["questions", "places"],
        study__signals=["stable_rank"],
        study__task_signals=[],
        study__strategies=["uniform"],
        study__merge=["task_arithmetic"],
    )
    return project


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("merges")
    made = merging_project(folder / "project", make_data(folder / "data"))
    scratch = {"ADARANK_SCRATCH": str(folder / "scratch")}
    project, notes = Project(made.path, scratch), folder / "notes"
    notes.mkdir()
    audit = {"PYTHONPATH": str(Path(__file__).parent / "audit"), "AUDIT_FOLDER": str(notes)}
    return Run(project, project.repro(PYTHONDONTWRITEBYTECODE="1", **audit), notes)


@pytest.mark.pipeline
def test_merging_opens_what_it_declares(run: Run) -> None:
    test_contract.test_a_stage_opens_only_its_deps_and_writes_only_its_outs(run)


@pytest.mark.pipeline
def test_a_new_method_trains_nothing_and_leaves_the_other_merges(run: Run) -> None:
    project = run.project
    assert {"merge@task_arithmetic", "evaluate_merged@task_arithmetic"} <= {*run.ran}
    adapters = {f: f.stat().st_mtime_ns for f in (project.path / "data/adapters").rglob("*.json")}
    project.change(study__merge=["task_arithmetic", "adarank", "average"])
    added = {f"{k}@{m}" for k in ("merge", "evaluate_merged") for m in ("adarank", "average")}
    assert {*project.repro()} == added | AFTER_MERGES
    assert adapters == {file: file.stat().st_mtime_ns for file in adapters}
    summary = read_json(project.path / "metrics/summary.json")
    assert [one["merge"] for one in summary["merges"]["merges"]] == [
        "task_arithmetic",
        "adarank",
        "average",
    ]
    assert "Merged models" in (project.path / "report/index.html").read_text()
    assert project.repro() == []


def test_a_study_without_merges_has_no_such_stage(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    project = merging_project(tmp_path / "project", tmp_path / "data")
    with Repo(str(project.path)) as repo:
        whole = {stage.name for stage in repo.index.stages}
    project.change(study__merge=[])
    with Repo(str(project.path)) as repo:
        without = {stage.name for stage in repo.index.stages}
    assert whole - without == {"merge@task_arithmetic", "evaluate_merged@task_arithmetic"}
    assert without < whole and kinds(without).isdisjoint({"merge", "evaluate_merged"})
