"""A store in a folder, which the environment names."""

from pathlib import Path

import pytest

from adarank.pipeline.clusters.blobs import Blobs
from adarank.pipeline.scratch.shelf import FolderShelf


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """The files of the store."""
    monkeypatch.setenv("ADARANK_SCRATCH", str(tmp_path / "store"))
    return Blobs(FolderShelf(tmp_path / "store"))
