"""The commit compared with: where the branch left its base; refused where it cannot be told."""

import subprocess
from pathlib import Path

import pytest

from adarank.commands.pull_request import git
from adarank.errors import InputError


def run(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, name: str) -> str:
    (folder / name).write_text(name)
    run(folder, "add", "-A")
    run(folder, "commit", "-qm", name)
    return run(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    run(path, "init", "-q", "-b", "main")
    monkeypatch.chdir(path)
    return path


def test_a_branch_that_lags_is_held_against_where_it_left(folder: Path) -> None:
    left = commit(folder, "first")
    run(folder, "checkout", "-qb", "change")
    commit(folder, "mine")
    run(folder, "checkout", "-q", "main")
    commit(folder, "theirs")
    run(folder, "checkout", "-q", "change")
    assert git.base_commit("main") == left
    assert git.shown(left, "first") == "first" and git.shown(left, "mine") is None


def test_a_branch_that_only_origin_has_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(folder, "first")
    run(folder, "checkout", "-qb", "change")
    commit(folder, "mine")
    run(folder, "clone", "-q", f"file://{folder}", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    assert git.base_commit("main") == git.base_commit("origin/main") == first


def test_a_shallow_clone_says_what_to_fetch(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(folder, "first")
    commit(folder, "second")
    run(folder, "clone", "-q", "--depth", "1", f"file://{folder}", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    with pytest.raises(InputError, match="fetch-depth: 0"):
        git.base_commit("main")


@pytest.mark.parametrize("base", ["nosuch", "--help", "$(touch x)", "", "main:first"])
def test_an_unknown_base_is_refused(folder: Path, base: str) -> None:
    commit(folder, "first")
    with pytest.raises(InputError, match="no such revision"):
        git.base_commit(base)
    assert not (folder / "x").exists()


def test_a_base_without_history_in_common_is_refused(folder: Path) -> None:
    commit(folder, "first")
    run(folder, "checkout", "-q", "--orphan", "other")
    commit(folder, "second")
    with pytest.raises(InputError, match="no history in common"):
        git.base_commit("main")


def test_no_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InputError, match="not a Git repository"):
        git.base_commit("main")


def test_what_waits_for_a_commit_is_listed(folder: Path) -> None:
    commit(folder, "first")
    assert git.uncommitted() == []
    (folder / "first").write_text("other")
    (folder / "new").touch()
    assert git.uncommitted() == ["first", "new"]
