"""Two whole runs of a pico project, from scratch and apart, shared by the tests here."""

import shutil
import subprocess
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


def comma_locale() -> str | None:
    """A locale that writes 1,5 for 1.5, where this machine has one."""
    done = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False)
    found = [name for name in done.stdout.split() if name.startswith(("de_DE", "fr_FR", "pt_BR"))]
    return next((name for name in found if "utf" in name.lower()), None)


@dataclass(frozen=True)
class Surroundings:
    """What should make no difference to a run.

    Attributes:
        folder: The folder above the project, below the session's own.
        environment: Hash seed, time zone and locale.
        umask: The permissions that new files go without.
    """

    folder: str
    environment: dict[str, str]
    umask: int


# Time zones by their rules, so that no database of them is needed.
SURROUNDINGS = (
    Surroundings("first", {"PYTHONHASHSEED": "1", "TZ": "UTC0", "LC_ALL": "C"}, 0o022),
    Surroundings(
        "the second, café",
        {"PYTHONHASHSEED": "2", "TZ": "XXX-12:45", "LC_ALL": comma_locale() or "C.UTF-8"},
        0o077,
    ),
)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two runs of one snapshot, side by side, each in surroundings of its own."""
    folder = tmp_path_factory.mktemp("pipeline")
    snapshot = make_project(folder / "snapshot", make_data(folder / "data"))
    for one in SURROUNDINGS:
        shutil.copytree(snapshot.path, folder / one.folder / "project")
    with ThreadPoolExecutor(len(SURROUNDINGS)) as pool:
        return list(pool.map(lambda one: _run(folder / one.folder, one), SURROUNDINGS))


@pytest.fixture(scope="session")
def first(runs: list[Run]) -> Run:
    return runs[0]


@pytest.fixture(scope="session")
def second(runs: list[Run]) -> Run:
    return runs[1]


def _run(folder: Path, surroundings: Surroundings) -> Run:
    project = Project(folder / "project", surroundings.environment, surroundings.umask)
    notes = folder / "notes"
    notes.mkdir()
    audit = {"PYTHONPATH": str(Path(__file__).parent / "audit"), "AUDIT_FOLDER": str(notes)}
    # Without bytecode an import opens the source itself, which is what the notes should show.
    ran = project.repro(PYTHONDONTWRITEBYTECODE="1", **audit)
    return Run(project, ran, notes)
