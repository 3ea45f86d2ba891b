"""`dvc exp`: lists survive, scores are computed once, and the table of experiments is readable."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from tests.pipeline.closure import ROOT
from tests.pipeline.conftest import Run
from tests.pipeline.project import Project

pytestmark = pytest.mark.pipeline

WIDE = ("study.budgets=[2,3]", "study.strategies=[uniform]")


@pytest.fixture(scope="module")
def project(first: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of the first run's project, committed: experiments start from a commit."""
    path = tmp_path_factory.mktemp("experiments") / "project"
    shutil.copytree(first.project.path, path)
    for name, value in (("user.name", "someone"), ("user.email", "someone@localhost")):
        subprocess.run(["git", "config", name, value], cwd=path, check=True)
    for command in (["add", "-A"], ["commit", "-qm", "ran"]):
        subprocess.run(["git", *command], cwd=path, check=True)
    yield replace(first.project, path=path)
    _end_all_in(path)


def test_a_changed_list_runs_what_is_new_and_no_score(project: Project) -> None:
    changes = [part for change in WIDE for part in ("-S", change)]
    output = project.dvc("exp", "run", "--temp", "--name", "wide", *changes)
    ran = re.findall(r"^Running stage '([^']+)'", output, flags=re.MULTILINE)
    new = ["allocate@uniform-3"]
    new += [f"{kind}@questions-uniform-3" for kind in ("finetune", "evaluate")]
    assert sorted(ran) == sorted([*new, "summarize", "report", "best"])
    study = YAML(typ="safe").load(_show(project, "wide:params.yaml"))["study"]
    assert (study["budgets"], study["strategies"]) == ([2, 3], ["uniform"])
    assert "uniform-3" in _show(project, "wide:metrics/summary.json")
    assert "uniform-3" not in (project.path / "metrics/summary.json").read_text()


def test_queued_experiments_run_apart_and_find_the_scores(project: Project) -> None:
    output = project.dvc("exp", "run", "--queue", "-S", "allocate.seed=7,8")
    assert output.count("Queued experiment") == 2
    # One worker: two that start at once write the same files of the queue, and one may lose.
    project.dvc("queue", "start", "--jobs", "1")
    status = _finished(project)
    assert status.count("Success") == 2, status
    names = re.findall(r"^\w{7} +([\w-]+) ", status, flags=re.MULTILINE)
    logs = [project.dvc("queue", "logs", name) for name in names]
    assert len(logs) == 2
    for log in logs:
        ran = re.findall(r"^Running stage '([^'@]+)", log, flags=re.MULTILINE)
        # The seed is for permuted_ alone: the plans come out the same, so no cell runs again. The
        # report shows every parameter.
        assert set(ran) == {"allocate", "report"}


def test_the_table_of_experiments_keeps_to_what_differs(project: Project) -> None:
    flags = re.search(r"dvc (exp show [^#]*?)\n\n", (ROOT / "Makefile").read_text())
    assert flags
    arguments = flags[1].replace("\\\n", " ").replace("'", "").split()
    table = project.dvc(*[part.replace("$$", "$") for part in arguments], "--md")
    head, *rows = [line for line in table.splitlines() if line.startswith("|")]
    columns = [column.strip() for column in head.strip("|").split("|")]
    sections = YAML(typ="safe").load(project.path / "params.yaml")
    parameters = {column for column in columns if column.partition(".")[0] in sections}
    assert parameters == {"study.budgets", "study.strategies", "allocate.seed"}
    assert not [column for column in columns if "/" in column or ":" in column]
    assert len(columns) == len(set(columns))
    assert any("wide" in row and "[2, 3]" in row for row in rows)


def _show(project: Project, what: str) -> str:
    """Read a file of an experiment, `NAME:PATH`, as Git keeps it."""
    name, _, path = what.partition(":")
    refs = ["git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}"]
    ref = subprocess.run(refs, cwd=project.path, capture_output=True, text=True, check=True)
    command = ["git", "show", f"{ref.stdout.strip()}:{path}"]
    return subprocess.run(
        command, cwd=project.path, capture_output=True, text=True, check=True
    ).stdout


def _end_all_in(folder: Path) -> None:
    """Kill what still runs there: a worker of the queue outlives the command that started it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                process.kill()


def _finished(project: Project) -> str:
    """Wait until the queue has run all that was in it; what it says then."""
    status = ""
    for _ in range(120):
        status = project.dvc("queue", "status")
        if "Queued" not in status and "Running" not in status:
            return status
        time.sleep(1)
    raise AssertionError(status)
