"""A store behind a URL behaves as a folder does: whole files, seen at once by everybody."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adarank.errors import InputError
from adarank.pipeline.files.places import scratch_folder, scratch_url
from adarank.pipeline.scratch.entry import Entry
from adarank.pipeline.scratch.shelf import FolderShelf, RemoteShelf, Shelf, open_shelf
from adarank.pipeline.scratch.store import Store, make_key, open_store
from tests.s3_server import BUCKET, s3_server

KEY = make_key("scores", "score exact", model="abc", seed=0)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as address:
        patch.setenv("AWS_ENDPOINT_URL", address)
        yield f"s3://{BUCKET}/scratch"


@pytest.fixture(params=["folder", "s3", "memory"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    if request.param == "folder":
        return FolderShelf(tmp_path)
    if request.param == "memory":
        return RemoteShelf(f"memory://{tmp_path}")
    return RemoteShelf(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def put(shelf: Shelf, name: str, data: bytes) -> None:
    with shelf.writing(name) as stream:
        stream.write(data)


def read(shelf: Shelf, name: str) -> bytes:
    with shelf.reading(name) as stream:
        return stream.read()


def test_files_are_written_listed_read_replaced_and_removed(shelf: Shelf) -> None:
    assert not shelf.has("a/x") and shelf.beginning("a/") == []
    with pytest.raises(FileNotFoundError):
        read(shelf, "a/x")
    put(shelf, "a/x.1", b"one")
    put(shelf, "a/x.2", b"two")
    put(shelf, "a/y", b"")
    assert shelf.beginning("a/x.") == ["a/x.1", "a/x.2"]
    put(shelf, "a/x.1", b"another")
    assert (read(shelf, "a/x.1"), read(shelf, "a/y")) == (b"another", b"")
    shelf.remove("a/x.1")
    shelf.remove("a/x.1")
    assert not shelf.has("a/x.1") and shelf.has("a/x.2")


def test_a_write_that_is_cut_is_never_seen(shelf: Shelf) -> None:
    put(shelf, "a/x", b"whole")

    def cut(name: str) -> None:
        with shelf.writing(name) as stream:
            stream.write(b"ha")
            stream.flush()
            raise ConnectionError("gone")

    for name in ("a/x", "a/y"):
        with pytest.raises(ConnectionError):
            cut(name)
    assert read(shelf, "a/x") == b"whole" and not shelf.has("a/y")
    assert shelf.beginning("a/") == ["a/x"]


def test_an_upload_that_fails_half_way_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a file system whose uploads are seen as they grow, such as sftp's.
    shelf = RemoteShelf(f"memory://{tmp_path}/half")
    shelf._whole_uploads = False
    put(shelf, "a/x", b"whole")
    real = shelf._system.put_file

    def half(local: str, remote: str) -> None:
        Path(local).write_bytes(Path(local).read_bytes()[:2])
        real(local, remote)
        raise TimeoutError("the network is away")

    monkeypatch.setattr(shelf._system, "put_file", half)
    with pytest.raises(OSError, match="away"):
        put(shelf, "a/x", b"another")
    assert read(shelf, "a/x") == b"whole" and shelf.beginning("a/") == ["a/x"]


def test_a_store_in_a_bucket_keeps_and_parts_as_a_folder_does(bucket: str) -> None:
    store = Store(RemoteShelf(f"{bucket}/store"))
    tensors = {"a": torch.tensor([1.5, float("nan")], dtype=torch.float64)}
    assert store.keeps and store.get(KEY) is None and not store.has(KEY)
    store.put(KEY, Entry(tensors, {"x": 1}))
    store.put(KEY, Entry(tensors), "part")
    found = store.get(KEY)
    assert found is not None and found.note == {"x": 1}
    assert torch.equal(found.tensors["a"].view(torch.int64), tensors["a"].view(torch.int64))
    assert store.parts(KEY) == ["part"]
    store.remove(KEY)
    assert not store.has(KEY) and store.has(KEY, "part")


def test_a_damaged_entry_in_a_bucket_is_named_and_removed(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf = RemoteShelf(f"{bucket}/damaged")
    store = Store(shelf)
    store.put(KEY, Entry({"a": torch.ones(3)}))
    name = f"{KEY.kind}/{KEY.digest}"
    put(shelf, name, read(shelf, name)[:-1] + b"x")
    assert store.get(KEY) is None and "damaged" in capsys.readouterr().err
    assert not shelf.has(name)


def test_another_machine_sees_at_once_what_was_written(bucket: str) -> None:
    shelf = RemoteShelf(f"{bucket}/seen")
    put(shelf, "a/w", b"before")
    assert shelf.beginning("a/") == ["a/w"] and not shelf.has("a/x")
    code = (
        "from adarank.pipeline.scratch.shelf import RemoteShelf\n"
        f"with RemoteShelf('{bucket}/seen').writing('a/x') as stream: stream.write(b'hello')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert shelf.has("a/x") and shelf.beginning("a/") == ["a/w", "a/x"]
    assert read(shelf, "a/x") == b"hello"


def test_a_bucket_that_is_not_there_ends_the_keeping_and_not_the_work(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(RemoteShelf(bucket.replace(BUCKET, "nowhere")))
    store.put(KEY, Entry({"a": torch.ones(3)}))
    said = capsys.readouterr().err
    assert not store.keeps and "nothing more is kept" in said and "s3://nowhere" in said


def test_the_environment_names_a_folder_or_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADARANK_CACHE", str(tmp_path))
    monkeypatch.setenv("ADARANK_SCRATCH", "memory://x/y/")
    assert (scratch_url(), scratch_folder()) == ("memory://x/y/", tmp_path / "scratch")
    assert str(open_shelf()) == "memory://x/y"
    assert open_store().name == "the scratch store (ADARANK_SCRATCH=memory://x/y)"
    monkeypatch.setenv("ADARANK_SCRATCH", f"file://{tmp_path}/z")
    assert (scratch_url(), scratch_folder()) == (None, tmp_path / "z")
    monkeypatch.setenv("ADARANK_SCRATCH", "off")
    assert open_shelf() is None


def test_an_address_that_nothing_opens_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="cannot be opened") as raised:
        RemoteShelf("no-such-thing://bucket")
    assert "no-such-thing" in str(raised.value)

    def without_s3fs(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", without_s3fs)
    with pytest.raises(InputError) as raised:
        RemoteShelf("s3://bucket/x")
    assert "pip install 'adarank[s3]'" in str(raised.value)
