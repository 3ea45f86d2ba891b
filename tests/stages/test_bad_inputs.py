"""Every bad input of the table is told in words, and harms nothing."""

import shutil
from pathlib import Path

import pytest

from adarank.pipeline.files.whole import sha256
from tests.stages.bad_inputs import CASES
from tests.stages.spoil import Case
from tests.whole import call, write_whole_project


@pytest.fixture(scope="module")
def whole(pico_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_whole_project(pico_model)
    return folder


@pytest.fixture
def project(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the whole project, in which the test stands."""
    folder = shutil.copytree(whole, tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ADARANK_CACHE", str(tmp_path / "cache"))
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Hashes of all files and the names of all folders, times apart."""
    found = (path for path in folder.rglob("*") if "timings" not in path.parts)
    return {str(path): sha256(path) if path.is_file() else "a folder" for path in found}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_bad_input_is_told_in_words_and_harms_nothing(case: Case, project: Path) -> None:
    case.spoil()
    before = contents(project)
    done = call(case.command)
    told = done.output
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == 2, told
    assert contents(project) == before
    assert "Traceback" not in told
    said = " ".join(told.split())
    for word in case.words.split("|"):
        assert word in said
    if case.usage:
        assert "Usage:" in told
        return
    assert told.count("cannot go on") == 1
    for part in ("got:", "expected:", "remedy:"):
        assert part in told


def test_the_table_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= 120
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("line", ["score --signal disagreement", "check", "summarize --show"])
def test_what_is_not_spoilt_passes(line: str, project: Path) -> None:
    assert call(line).exit_code == 0
    assert project == Path.cwd()
