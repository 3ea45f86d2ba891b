"""DVC reruns what an edit touches and nothing else, and brings earlier results back."""

import time
from collections.abc import Iterable

import pytest

from tests.pipeline.conftest import Run
from tests.pipeline.project import Project

pytestmark = pytest.mark.pipeline

PLANS = ("uniform-2", "disagreement-2")
QUICK = {"allocate", "summarize", "report", "best"}
ROOM_OF_ALLOCATION = {"allocate", "finetune", "evaluate", "report", "best"}
METRICS = (
    "metrics/summary.json",
    "metrics/headline.json",
    "metrics/cells/questions/disagreement-2.json",
)


def kinds(stages: Iterable[str]) -> set[str]:
    return {stage.split("@")[0] for stage in stages}


@pytest.fixture
def project(first: Run) -> Project:
    """The first run's project; each test puts back what it changes."""
    return first.project


def test_every_stage_runs_once_with_upstream_first(first: Run) -> None:
    per_cell = [f"allocate@{plan}" for plan in PLANS]
    per_cell += [f"{kind}@questions-{plan}" for kind in ("finetune", "evaluate") for plan in PLANS]
    single = ["download_task@questions", "download@model", "score@disagreement"]
    single += ["score_task@questions-weight_gradient", "summarize", "report", "best"]
    assert sorted(first.ran) == sorted(per_cell + single)
    assert first.ran.index("summarize") > max(first.ran.index(s) for s in per_cell)
    assert first.ran.index("report") > first.ran.index("summarize")


def test_again_nothing_runs_within_five_seconds(project: Project) -> None:
    began = time.perf_counter()
    assert project.repro() == []
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("change", "rerun"),
    [
        (
            {"study__budgets": [2, 3]},
            {"allocate", "finetune", "evaluate", "summarize", "best", "report"},
        ),
        ({"study__seeds": [0, 1, 2]}, {"finetune", "evaluate", "summarize", "best", "report"}),
        ({"study__strategies": ["uniform"]}, {"summarize", "best", "report"}),
        ({"score__trials": 3}, {"score", "score_task", "report"}),
        ({"probe__rows": 5}, {"score", "score_task", "report"}),
        ({"allocate__seed": 9}, {"allocate", "report"}),
        ({"finetune__steps": 5}, {"finetune", "evaluate", "score_task", "report"}),
        (
            {"tasks__questions__validation_seed": 1},
            {"download_task", "score_task", "finetune", "evaluate", "best", "report"},
        ),
        ({"report__max_drop": 0.5}, set()),
    ],
    ids=lambda value: "-".join(sorted(value)),
)
def test_a_changed_parameter_stales_its_readers_alone(
    project: Project, change: dict[str, object], rerun: set[str]
) -> None:
    before = (project.path / "params.yaml").read_text()
    project.change(**change)
    try:
        assert kinds(project.stale()) == rerun
    finally:
        (project.path / "params.yaml").write_text(before)


@pytest.mark.parametrize(
    ("file", "rerun"),
    [
        ("adarank/tuning/lora.py", {"finetune", "evaluate"}),
        ("stages/finetune.py", {"finetune"}),
        ("adarank/comparison/significance.py", {"summarize", "best"}),
        ("adarank/pipeline/builtin/questions.yaml", {"download_task", *QUICK}),
        ("adarank/allocation/strategies/registry.py", ROOM_OF_ALLOCATION),
        ("adarank/scoring/signals/fisher.py", {"score", "score_task"}),
    ],
)
def test_edited_code_stales_its_importers_alone(
    project: Project, file: str, rerun: set[str]
) -> None:
    path = project.path / file
    before = path.read_text()
    project.edit(file)
    try:
        assert kinds(project.stale()) == rerun
    finally:
        path.write_text(before)


def test_a_value_changed_and_changed_back_is_restored_without_a_run(project: Project) -> None:
    before = {file: (project.path / file).read_bytes() for file in METRICS}
    lock, params = project.lock(), (project.path / "params.yaml").read_bytes()
    project.change(evaluate__train_rows=10)
    assert kinds(project.repro()) == {"evaluate", "summarize", "report", "best"}
    assert {file: (project.path / file).read_bytes() for file in METRICS} != before
    (project.path / "params.yaml").write_bytes(params)
    assert project.repro() == []
    assert {file: (project.path / file).read_bytes() for file in METRICS} == before
    assert project.lock() == lock


def test_metrics_show_reads_one_file_and_plots_are_made(project: Project) -> None:
    table = project.dvc("metrics", "show")
    assert "metrics/headline.json" in table and "questions.accuracy.uniform-2" in table
    assert "metrics/cells" not in table and "metrics/summary" not in table
    page = project.dvc("plots", "show", "--out", "plots-page")
    assert "failed" not in page.lower() and "error" not in page.lower()
    html = (project.path / "plots-page" / "index.html").read_text()
    for title in (
        "disagreement by block",
        "Loss while training",
        "Confusion",
        "trainable parameters",
        "Every comparison, paired by seed",
    ):
        assert title in html, title


def test_a_failing_stage_keeps_the_rest_and_exits_with_its_problem(project: Project) -> None:
    before = (project.path / "params.yaml").read_text()
    project.change(study__strategies=["uniform", "disagrement"])
    try:
        done = project.attempt("repro")
        assert done.returncode != 0 and "one of uniform, disagreement" in done.stdout
        assert "Traceback" not in done.stdout
    finally:
        (project.path / "params.yaml").write_text(before)
        assert project.repro() == []
