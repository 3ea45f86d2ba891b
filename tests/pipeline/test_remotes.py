"""A remote brings everything back: nothing runs again after a pull, from S3 as from a folder."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.conftest import Run
from tests.pipeline.project import Project
from tests.s3_server import BUCKET, KEYS, s3_server

pytestmark = pytest.mark.pipeline


@pytest.fixture
def project(first: Run, tmp_path: Path) -> Project:
    """A copy of the first run's project, with a cache of its own."""
    shutil.copytree(first.project.path, tmp_path / "project")
    return replace(first.project, path=tmp_path / "project")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 server on this machine, with an empty bucket."""
    with s3_server(monkeypatch) as address:
        yield address


def test_an_s3_remote_restores_all_and_keeps_no_key_in_git(project: Project, s3: str) -> None:
    project.dvc("remote", "add", "--default", "store", f"s3://{BUCKET}/adarank")
    project.dvc("remote", "modify", "store", "endpointurl", s3)
    project.dvc("remote", "modify", "store", "region", "us-east-1")
    project.dvc("remote", "modify", "--local", "store", "access_key_id", KEYS["AWS_ACCESS_KEY_ID"])
    secret = KEYS["AWS_SECRET_ACCESS_KEY"]
    project.dvc("remote", "modify", "--local", "store", "secret_access_key", secret)
    assert secret not in (project.path / ".dvc/config").read_text()
    assert "config.local" in (project.path / ".dvc/.gitignore").read_text()
    _comes_back(project)


def test_a_folder_as_remote_restores_all(project: Project, tmp_path: Path) -> None:
    project.dvc("remote", "add", "--default", "store", str(tmp_path / "store"))
    _comes_back(project)


def _comes_back(project: Project) -> None:
    """Push, lose the cache and the workspace's data, pull: all is as before, and nothing runs."""
    before, lock = _data(project), project.lock()
    project.dvc("push", "--run-cache")
    shutil.rmtree(project.path / ".dvc" / "cache")
    shutil.rmtree(project.path / ".dvc" / "tmp")
    shutil.rmtree(project.path / "data")
    project.dvc("pull", "--run-cache")
    assert _data(project) == before
    assert project.repro() == []
    assert project.lock() == lock


def _data(project: Project) -> dict[str, bytes]:
    files = (path for path in (project.path / "data").rglob("*") if path.is_file())
    return {path.relative_to(project.path).as_posix(): path.read_bytes() for path in files}
