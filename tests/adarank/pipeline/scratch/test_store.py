"""The scratch store: whole or absent, checked when read, shared, and never in the way."""

import errno
import io
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from adarank.pipeline.files.places import scratch_folder
from adarank.pipeline.files.whole import sha256
from adarank.pipeline.scratch.closure import ROOT
from adarank.pipeline.scratch.entry import (
    DamagedError,
    Entry,
    of_files,
    read_entry,
    read_header,
)
from adarank.pipeline.scratch.store import Key, Store, make_key

KEY = make_key("scores", "score exact", model="abc", seed=0)
TENSORS = {
    "a": torch.tensor([1.5, float("nan"), -0.0], dtype=torch.float64),
    "b": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
    "step": torch.tensor(3.0),
}
NOTE = {"x": [1, None, 0.1 + 0.2, float("inf")], "ü": "ß"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "scratch")


def path_of(store: Store, key: Key = KEY) -> Path:
    assert store.folder is not None
    return store.folder / key.kind / key.digest


def same(first: dict[str, torch.Tensor], second: Any) -> bool:
    def bits(tensor: torch.Tensor) -> tuple[Any, ...]:
        return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8)

    return first.keys() == second.keys() and all(
        bits(first[n])[:2] == bits(second[n])[:2]
        and torch.equal(bits(first[n])[2], bits(second[n])[2])
        for n in first
    )


def test_what_is_put_comes_back_bit_for_bit(store: Store) -> None:
    assert store.get(KEY) is None
    store.put(KEY, Entry(TENSORS, NOTE))
    found = store.get(KEY)
    assert found is not None and same(TENSORS, found.tensors) and found.note == NOTE
    header = read_header(path_of(store))
    assert (header.kind, header.what) == ("scores", "score exact")


def test_files_come_back_as_they_were(store: Store) -> None:
    files = {"a/b.json": b"{}\n", "empty": b"", "c": bytes(range(256))}
    store.put(KEY, of_files(files, {"said": "x"}))
    found = store.get(KEY)
    assert found is not None and found.files == files


def test_everything_that_decides_makes_another_key_and_words_do_not() -> None:
    assert make_key("scores", "other words", seed=0, model="abc") == Key(
        "scores", "other words", KEY.digest
    )
    others = [
        make_key("seed", "x", model="abc", seed=0),
        make_key("scores", "x", model="abd", seed=0),
        make_key("scores", "x", model="abc", seed=1),
        make_key("scores", "x", model="abc", seed=0, more=None),
    ]
    assert len({KEY.digest, *(key.digest for key in others)}) == 5


def test_any_flipped_byte_and_any_cut_is_found_deleted_and_said(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(KEY, Entry(TENSORS, NOTE))
    path = path_of(store)
    whole = path.read_bytes()
    damaged = [whole[:at] for at in range(0, len(whole), 7)]
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1
        damaged.append(bytes(flipped))
    for data in damaged:
        with pytest.raises(DamagedError):
            read_entry(io.BytesIO(data))
    path.write_bytes(damaged[-1])
    assert store.get(KEY) is None and not path.exists()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "score exact: scratch entry" in said and str(path) in said


def test_a_full_disk_is_said_once_and_the_work_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(KEY, Entry(TENSORS, 1))
    path = path_of(store)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    for _ in range(2):
        store.put(KEY, Entry(TENSORS, 2))
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "No space left" in said


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE, errno.EIO, errno.EACCES])
def test_an_entry_that_cannot_be_read_now_is_said_and_stays(
    number: int,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store.put(KEY, Entry(TENSORS, NOTE))
    real = Path.open

    def failing(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path == path_of(store):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        assert store.get(KEY) is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and os.strerror(number) in said and "deleted" not in said
    found = store.get(KEY)
    assert found is not None and same(TENSORS, found.tensors)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EROFS])
def test_an_entry_of_a_store_that_may_only_be_read_is_read(
    number: int,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store.put(KEY, Entry(TENSORS, NOTE))

    def refused(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.utime", refused)
    found = store.get(KEY)
    assert found is not None and same(TENSORS, found.tensors)
    assert path_of(store).exists() and capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_made_is_no_obstacle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "scratch")
    with store.held(KEY):
        store.put(KEY, Entry(TENSORS))
    assert store.get(KEY) is None
    assert capsys.readouterr().err.count("\n") == 1


def test_off_keeps_nothing() -> None:
    store = Store(None)
    with store.held(KEY):
        store.put(KEY, Entry(TENSORS))
    assert store.get(KEY) is None and not store.has(KEY) and store.parts(KEY) == []


def test_the_environment_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADARANK_SCRATCH", "off")
    assert scratch_folder() is None
    monkeypatch.setenv("ADARANK_SCRATCH", "some/where")
    assert scratch_folder() == Path.cwd() / "some/where"
    monkeypatch.delenv("ADARANK_SCRATCH")
    monkeypatch.setenv("ADARANK_CACHE", "/x/cache")
    assert scratch_folder() == Path("/x/cache/scratch")
    monkeypatch.delenv("ADARANK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert scratch_folder() == Path("/x/adarank/scratch")


def test_writers_of_one_key_at_once_leave_one_whole_entry(store: Store) -> None:
    def write() -> None:
        for _ in range(20):
            store.put(KEY, Entry(TENSORS, NOTE))
            found = store.get(KEY)
            assert found is not None and same(TENSORS, found.tensors)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(path_of(store).parent.iterdir()) == [path_of(store)]


def _hold(folder: Path, ready: Any, go: Any) -> None:
    store = Store(folder)
    with store.held(KEY):
        ready.set()
        go.wait(20)
        store.put(KEY, Entry(TENSORS, "the other's"))


def test_who_comes_second_waits_says_so_and_finds_what_was_made(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(store.folder, ready, go))
    other.start()
    assert ready.wait(20)
    threading.Timer(0.3, go.set).start()
    with store.held(KEY):
        found = store.get(KEY)
    other.join()
    assert found is not None and found.note == "the other's"
    assert "another process is at it; waiting" in capsys.readouterr().err


def test_a_dead_process_holds_nothing(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(store.folder, ready, go))
    other.start()
    assert ready.wait(20)
    other.kill()
    other.join()
    with store.held(KEY):
        assert store.get(KEY) is None


def test_the_checksum_covers_what_an_entry_says_of_itself(store: Store) -> None:
    store.put(KEY, Entry(TENSORS))
    header, _, body = path_of(store).read_bytes().partition(b"\n")
    assert read_entry(io.BytesIO(header + b"\n" + body)).tensors.keys() == TENSORS.keys()
    with pytest.raises(DamagedError):
        read_entry(io.BytesIO(header.replace(b"exact", b"other") + b"\n" + body))


def test_an_entry_is_a_safetensors_file_below_its_first_line(store: Store) -> None:
    store.put(KEY, Entry(TENSORS | {"none": torch.empty(0, 3), "yes": torch.tensor(True)}))
    found = load(path_of(store).read_bytes().partition(b"\n")[2])
    entry = store.get(KEY)
    assert entry is not None and same(found, entry.tensors) and found["yes"].item() is True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "a.json").write_bytes(b"{}\n")
    (made / "empty").write_bytes(b"")
    (made / "deep/b").write_bytes(bytes(range(256)) * 10_000)
    return made


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_folder_comes_back_as_it_was(store: Store, folder: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    assert store.get_folder(KEY, into) is None and not into.exists()
    store.put_folder(KEY, folder, NOTE)
    found = store.get_folder(KEY, into)
    assert found is not None and found.note == NOTE and contents(into) == contents(folder)
    # Small files of an entry of bytes are no other kind of entry.
    entry = store.get(KEY)
    assert entry is not None and entry.files == contents(folder)


def test_of_a_damaged_entry_no_file_is_left(
    store: Store, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put_folder(KEY, folder, NOTE)
    path = path_of(store)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert store.get_folder(KEY, tmp_path / "into") is None
    assert not (tmp_path / "into").exists() and not path.exists()
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_not_left_in_part(
    number: int, store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_folder(KEY, folder, NOTE)
    real = Path.open

    def failing(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.name == "b":
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", failing)
    if number == errno.ENOSPC:
        with pytest.raises(OSError, match="No space"):
            store.get_folder(KEY, tmp_path / "into")
    else:
        assert store.get_folder(KEY, tmp_path / "into") is None
    assert not (tmp_path / "into").exists() and path_of(store).exists()


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_a_foreign_entry_cannot_write_outside_its_folder(
    name: str, store: Store, tmp_path: Path
) -> None:
    store.put(KEY, of_files({f"{tmp_path}/out" if name[0] == "/" else name: b"x"}))
    into = tmp_path / "some/into"
    assert store.get_folder(KEY, into) is None
    assert not into.exists() and not list(tmp_path.rglob("out"))


def test_a_file_that_changes_while_it_is_stored_leaves_no_entry(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, entry = Path.open, path_of(store)

    def growing(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path == folder / "empty":
            with real(path, "wb") as stream:
                stream.write(b"more")
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", growing)
        store.put_folder(KEY, folder, NOTE)
    assert not entry.exists()
    assert "a file changed while it was read" in capsys.readouterr().err


MEMORY = """
import resource, sys
from pathlib import Path
from adarank.pipeline.scratch.store import Store, make_key

store, key = Store(Path("scratch")), make_key("seed", "seed 0")

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before = peak()
store.put_folder(key, Path("made"), None)
assert store.get_folder(key, Path("into")) is not None
print(peak() - before)
"""


def test_a_large_folder_is_never_in_memory(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with (tmp_path / "made/model.safetensors").open("wb") as stream:
        for at in range(150):
            stream.write(bytes([at]) * 2**20)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 20, "MiB, for a file of 150"
    assert sha256(tmp_path / "into/model.safetensors") == sha256(
        tmp_path / "made/model.safetensors"
    )
