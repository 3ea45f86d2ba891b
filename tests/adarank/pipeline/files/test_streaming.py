"""Large files go through memory a little at a time: hashed, stored and taken from the store."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from adarank.pipeline.files.hashes import folder_sha256, known_sha256
from adarank.pipeline.scratch.store import Store, make_key

SIZE = 48 * 2**20
KEY = make_key("seed", "a large adapter", seed=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "adapter").mkdir()
    with (tmp_path / "adapter" / "adapter_model.safetensors").open("wb") as stream:
        stream.truncate(SIZE)
    return tmp_path / "adapter"


def most_at_once(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_hashing_holds_a_fraction_of_the_file(folder: Path) -> None:
    (large,) = folder.iterdir()
    assert most_at_once(lambda: known_sha256(large)) < SIZE / 10
    assert most_at_once(lambda: folder_sha256(folder)) < SIZE / 10


def test_storing_and_restoring_holds_a_fraction_of_the_file(folder: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "scratch")
    assert most_at_once(lambda: store.put_folder(KEY, folder, None)) < SIZE / 10
    assert store.has(KEY)
    copy = tmp_path / "copy"
    assert most_at_once(lambda: store.get_folder(KEY, copy)) < SIZE / 10
    assert known_sha256(*copy.iterdir()) == known_sha256(*folder.iterdir())


def test_a_whole_file_in_memory_would_be_seen(folder: Path) -> None:
    (large,) = folder.iterdir()
    assert most_at_once(large.read_bytes) >= SIZE
