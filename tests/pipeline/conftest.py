"""Two whole runs of a pico project, from scratch and apart, shared by the tests here."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline.project import Project, make_data, make_project


@dataclass(frozen=True)
class Run:
    """A project after its first `dvc repro`.

    Attributes:
        project: The project.
        ran: The stages that ran, in order.
        notes: Folder with a file a process: what it opened (see audit/sitecustomize.py).
    """

    project: Project
    ran: list[str]
    notes: Path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two runs of one snapshot, side by side, each under its own hash seed."""
    folder = tmp_path_factory.mktemp("pipeline")
    snapshot = make_project(folder / "snapshot", make_data(folder / "data"))
    places = [folder / "first", folder / "second"]
    for place in places:
        shutil.copytree(snapshot.path, place / "project")
    with ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(_run, places, ("1", "2")))


@pytest.fixture(scope="session")
def first(runs: list[Run]) -> Run:
    return runs[0]


@pytest.fixture(scope="session")
def second(runs: list[Run]) -> Run:
    return runs[1]


def _run(folder: Path, hash_seed: str) -> Run:
    project = Project(folder / "project")
    notes = folder / "notes"
    notes.mkdir()
    audit = {"PYTHONPATH": str(Path(__file__).parent / "audit"), "AUDIT_FOLDER": str(notes)}
    # Without bytecode an import opens the source itself, which is what the notes should show.
    ran = project.repro(PYTHONDONTWRITEBYTECODE="1", PYTHONHASHSEED=hash_seed, **audit)
    return Run(project, ran, notes)
