"""The scratch store: finished and half-finished work, by a hash of all that decides it.

Outs of a stage are removed before it runs, so work that shall survive a kill lies here. Entries are
whole or absent, checked when read, and shared by every process of a user; see docs/RESUME.md.
"""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.places import scratch_folder
from adarank.pipeline.files.whole import whole_file
from adarank.pipeline.scratch.entry import (
    DamagedError,
    Entry,
    read_entry,
    read_folder,
    write_entry,
    write_folder,
)
from adarank.pipeline.scratch.fingerprint import edited

LOCKS = "locks"


@dataclass(frozen=True)
class Key:
    """Names one piece of work.

    Attributes:
        kind: Such as `scores`, `seed`, `checkpoint`: a folder of the store.
        what: In words, whose; for people.
        digest: The hash of all that decides the work's result.
    """

    kind: str
    what: str
    digest: str


def make_key(kind: str, what: str, **decides: Any) -> Key:
    """Make a key.

    Args:
        kind: A folder of the store.
        what: For people; no part of the hash.
        decides: All that decides the result, as JSON can hold it.
    """
    text = json.dumps([kind, decides], sort_keys=True)
    return Key(kind, what, hashlib.sha256(text.encode()).hexdigest())


class Store:
    """Entries in a folder.

    A store that cannot be written to says so once, and the work goes on without it: it is an
    aid, and no result depends on it. Nor is anything stored once the code has been edited: keys
    name the code as it was when the process began.

    Args:
        folder: Made at the first write; None for a store that keeps nothing.
    """

    def __init__(self, folder: Path | None):
        self.folder = folder

    @property
    def name(self) -> str:
        """What to call it to people."""
        return f"the scratch store (ADARANK_SCRATCH={self.folder or 'off'})"

    def has(self, key: Key, part: str = "") -> bool:
        """Whether there is an entry, unread."""
        return self.folder is not None and self._path(self.folder, key, part).exists()

    def get(self, key: Key, part: str = "") -> Entry | None:
        """Read an entry.

        Returns:
            None where there is none, where it cannot be read just now, and where it is damaged:
            then it is deleted. The last two are said.
        """
        return self._read(key, part, read_entry)

    def get_folder(self, key: Key, into: Path) -> Entry | None:
        """Write the files of an entry that `put_folder` made to a folder that is not there yet.

        Returns:
            The note, in an entry; None as for `get`, and then there is no folder.
        """
        try:
            found = self._read(key, "", lambda stream: read_folder(stream, into))
        except OSError:
            shutil.rmtree(into, ignore_errors=True)
            raise
        if found is None:
            shutil.rmtree(into, ignore_errors=True)
        return found

    def put(self, key: Key, entry: Entry, part: str = "") -> None:
        """Write an entry, or replace it."""
        self._write(key, part, lambda stream: write_entry(stream, key.kind, key.what, entry))

    def put_folder(self, key: Key, folder: Path, note: Any) -> None:
        """Write an entry of all files below a folder, or replace it."""
        self._write(key, "", lambda stream: write_folder(stream, key.kind, key.what, folder, note))

    def _read(self, key: Key, part: str, read: Callable[[BinaryIO], Entry]) -> Entry | None:
        if self.folder is None:
            return None
        path = self._path(self.folder, key, part)
        try:
            with path.open("rb") as stream:
                entry = read(stream)
        except FileNotFoundError:
            return None
        except DamagedError as error:
            say(f"{key.what}: scratch entry {path} is damaged ({error}); deleted, done again")
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # not the store's: there is no room for what is read
            # Of the entry this says nothing: too many open files, a network that is away.
            why = error.strerror or error
            say(f"{key.what}: scratch entry {path} cannot be read now ({why}); done again")
            return None
        # An entry in another user's store may be read but not touched.
        with suppress(OSError):
            os.utime(path)
        return entry

    def _write(self, key: Key, part: str, write: Callable[[BinaryIO], None]) -> None:
        if not self._open(key):
            return
        assert self.folder is not None
        try:
            with whole_file(self._path(self.folder, key, part)) as stream:
                write(stream)
        except OSError as error:
            say(f"{key.what}: nothing more is kept in {self.name}: {error.strerror or error}")
            self.folder = None

    def _open(self, key: Key) -> bool:
        """Whether there is a folder to write to, and keys still name the code that runs."""
        if self.folder is not None and edited():
            say(
                f"{key.what}: the code was edited while this was running, so nothing more is kept "
                f"in {self.name}"
            )
            self.folder = None
        return self.folder is not None

    def parts(self, key: Key) -> list[str]:
        """List the parts of a key that were put with a name of their own."""
        if self.folder is None:
            return []
        found = (self.folder / key.kind).glob(f"{key.digest}.*")
        return sorted(path.name.removeprefix(f"{key.digest}.") for path in found)

    def remove(self, key: Key, part: str = "") -> None:
        """Remove an entry, if it is there."""
        if self.folder is not None:
            with suppress(OSError):
                self._path(self.folder, key, part).unlink(missing_ok=True)

    @contextmanager
    def held(self, key: Key) -> Iterator[None]:
        """Keep other processes from the same work, and from pruning it, while the body runs."""
        if self.folder is None:
            yield
            return
        lock = lock_of(self.folder, key.digest)
        try:
            self._acquire(lock, key)
        except OSError as error:
            say(f"{key.what}: {self.name} cannot be locked: {error.strerror or error}")
            self.folder = None
        try:
            yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, key: Key) -> None:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{key.what}: another process is at it; waiting for what it makes")
            began = time.monotonic()
            lock.acquire()
            say(f"{key.what}: it has ended, after {time.monotonic() - began:.0f} s")

    def _path(self, folder: Path, key: Key, part: str) -> Path:
        return folder / key.kind / (f"{key.digest}.{part}" if part else key.digest)


def lock_of(folder: Path, digest: str) -> FileLock:
    """Make the lock of a key in a store's folder; the system frees a dead process's."""
    return FileLock(folder / LOCKS / f"{digest}.lock")


def open_store() -> Store:
    """Open the store that the environment names; none where code was edited during imports."""
    if edited():
        say("the code was edited while this was starting, so the scratch store is not used")
        return Store(None)
    return Store(scratch_folder())
