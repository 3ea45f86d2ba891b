"""A kept hash is the file's, whatever is done to the file."""

import os
import time
from pathlib import Path

import pytest

from adarank.pipeline.files import hashes
from adarank.pipeline.files.hashes import known_sha256, sha256
from adarank.pipeline.files.whole import folder_sha256
from adarank.pipeline.scratch.listing import listed, prune


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that is read to be hashed."""
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return sha256(path)

    monkeypatch.setattr(hashes, "sha256", counted)
    return read


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADARANK_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(hashes, "LARGE", 10)
    monkeypatch.setattr(hashes, "_SETTLED", 0.0)
    return tmp_path / "scratch"


@pytest.fixture
def model(tmp_path: Path, scratch: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_bytes(b"{}")
    path = tmp_path / "model/weights"
    path.write_bytes(b"0123456789")
    time.sleep(0.01)
    assert not scratch.exists()
    return path


def test_a_large_file_is_read_once_and_a_small_one_each_time(
    model: Path, reads: list[Path]
) -> None:
    first = folder_sha256(model.parent)
    assert [path.name for path in reads] == ["config.json", "weights"]
    assert folder_sha256(model.parent) == first
    assert [path.name for path in reads[2:]] == ["config.json"]


def test_a_folders_hash_is_what_it_is_without_a_store(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [folder_sha256(model.parent) for _ in range(2)]
    monkeypatch.setenv("ADARANK_SCRATCH", "off")
    assert kept == [folder_sha256(model.parent)] * 2


@pytest.mark.parametrize("how", ["written", "replaced", "restored"])
def test_an_edit_of_the_same_size_and_time_is_seen(how: str, model: Path) -> None:
    assert known_sha256(model) == sha256(model)
    before = model.stat()
    if how == "replaced":
        other = model.with_name("other")
        other.write_bytes(b"9876543210")
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(model)
    else:
        model.write_bytes(b"9876543210")
        if how == "restored":
            os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert model.stat().st_size == before.st_size
    assert known_sha256(model) == sha256(model)


def test_nothing_is_kept_of_a_file_that_has_just_changed(
    model: Path, scratch: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "_SETTLED", 10.0)
    for _ in range(2):
        known_sha256(model)
    assert len(reads) == 2 and not scratch.exists()
    monkeypatch.setattr("time.time", lambda: model.stat().st_ctime + 11)
    for _ in range(2):
        known_sha256(model)
    assert len(reads) == 3


def test_any_flipped_byte_of_what_is_kept_is_found(
    model: Path, scratch: Path, reads: list[Path]
) -> None:
    known_sha256(model)
    (entry,) = (scratch / hashes.KIND).iterdir()
    whole = entry.read_bytes()
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1
        entry.write_bytes(bytes(flipped))
        assert known_sha256(model) == sha256(model)
    assert len(reads) == 1 + len(whole)
    other = entry.with_name("0" * 64)
    entry.rename(other)
    assert hashes._read(other, str(model)) is None, "another file's"  # pyright: ignore


def test_a_store_that_cannot_be_written_to_is_no_obstacle(
    model: Path, scratch: Path, reads: list[Path]
) -> None:
    scratch.write_text("a file")
    for _ in range(2):
        assert known_sha256(model) == sha256(model)
    assert len(reads) == 2


def test_kept_hashes_are_listed_and_pruned_as_all_else(model: Path, scratch: Path) -> None:
    known_sha256(model)
    (one,) = listed(scratch)
    assert (one.kind, one.what) == ("hash", str(model))
    removed, in_use = prune(scratch, lambda _: True)
    assert [gone.path for gone in removed] == [one.path] and in_use == []
    assert listed(scratch) == []
