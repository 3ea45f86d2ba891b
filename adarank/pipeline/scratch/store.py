"""The scratch store: finished and half-finished work, by a hash of all that decides it.

Outs of a stage are removed before it runs, so work that shall survive a kill lies here. Entries are
whole or absent, checked when read, and shared by every process of a user; see docs/RESUME.md.
"""

import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.places import scratch_folder
from adarank.pipeline.scratch.entry import (
    DamagedError,
    Entry,
    read_entry,
    read_folder,
    write_entry,
    write_folder,
)
from adarank.pipeline.scratch.fingerprint import edited
from adarank.pipeline.scratch.shelf import FolderShelf, Shelf, open_shelf

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
    """Entries in a folder, or behind a URL.

    A store that cannot be written to says so once, and the work goes on without it: it is an
    aid, and no result depends on it. Nor is anything stored once the code has been edited: keys
    name the code as it was when the process began.

    Args:
        shelf: Where its files lie, or a folder for them, made at the first write; None for a
            store that keeps nothing.
        locks: Folder of the locks between processes of this machine, or of all that share it.
    """

    def __init__(self, shelf: Path | Shelf | None, locks: Path | None = None):
        self._shelf = FolderShelf(shelf) if isinstance(shelf, Path) else shelf
        self._locks = shelf if isinstance(shelf, Path) else locks

    @property
    def keeps(self) -> bool:
        """Whether it keeps anything, still."""
        return self._shelf is not None

    @property
    def folder(self) -> Path | None:
        """The folder of its entries; None for a URL, and for a store that keeps nothing."""
        return self._shelf.folder if isinstance(self._shelf, FolderShelf) else None

    @property
    def name(self) -> str:
        """What to call it to people."""
        return f"the scratch store (ADARANK_SCRATCH={self._shelf or 'off'})"

    def has(self, key: Key, part: str = "") -> bool:
        """Whether there is an entry, unread."""
        try:
            return self._shelf is not None and self._shelf.has(_name(key, part))
        except OSError:
            return False  # it is asked again when the entry is read, and then it is said

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
        if self._shelf is None:
            return None
        name = _name(key, part)
        try:
            with self._shelf.reading(name) as stream:
                entry = read(stream)
        except FileNotFoundError:
            return None
        except DamagedError as error:
            place = f"{self._shelf}/{name}"
            say(f"{key.what}: scratch entry {place} is damaged ({error}); deleted, done again")
            self._shelf.remove(name)
            return None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # not the store's: there is no room for what is read
            # Of the entry this says nothing: too many open files, a network that is away.
            place, why = f"{self._shelf}/{name}", error.strerror or error
            say(f"{key.what}: scratch entry {place} cannot be read now ({why}); done again")
            return None
        self._shelf.used(name)
        return entry

    def _write(self, key: Key, part: str, write: Callable[[BinaryIO], None]) -> None:
        if not self._open(key):
            return
        assert self._shelf is not None
        try:
            with self._shelf.writing(_name(key, part)) as stream:
                write(stream)
        except OSError as error:
            say(f"{key.what}: nothing more is kept in {self.name}: {error.strerror or error}")
            self._shelf = None

    def _open(self, key: Key) -> bool:
        """Whether there is a place to write to, and keys still name the code that runs."""
        if self._shelf is not None and edited():
            say(
                f"{key.what}: the code was edited while this was running, so nothing more is kept "
                f"in {self.name}"
            )
            self._shelf = None
        return self._shelf is not None

    def parts(self, key: Key) -> list[str]:
        """List the parts of a key that were put with a name of their own."""
        if self._shelf is None:
            return []
        start = f"{key.kind}/{key.digest}."
        try:
            return [name.removeprefix(start) for name in self._shelf.beginning(start)]
        except OSError as error:
            say(f"{key.what}: {self.name} cannot be listed now ({error.strerror or error})")
            return []

    def remove(self, key: Key, part: str = "") -> None:
        """Remove an entry, if it is there."""
        if self._shelf is not None:
            self._shelf.remove(_name(key, part))

    @contextmanager
    def held(self, key: Key) -> Iterator[None]:
        """Keep other processes from the same work, and from pruning it, while the body runs.

        Those of this machine, and of others where they share a folder and its file system knows
        locks. Elsewhere two may do the same work, and the second writes what the first wrote.
        """
        if self._shelf is None or self._locks is None:
            yield
            return
        lock = lock_of(self._locks, key.digest)
        try:
            self._acquire(lock, key)
        except OSError as error:
            say(f"{key.what}: {self.name} cannot be locked: {error.strerror or error}")
            self._shelf = None
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


def _name(key: Key, part: str) -> str:
    return f"{key.kind}/{key.digest}.{part}" if part else f"{key.kind}/{key.digest}"


def lock_of(folder: Path, digest: str) -> FileLock:
    """Make the lock of a key in a store's folder; the system frees a dead process's."""
    return FileLock(folder / LOCKS / f"{digest}.lock")


def open_store() -> Store:
    """Open the store that the environment names; none where code was edited during imports.

    Raises:
        InputError: ADARANK_SCRATCH is a URL that cannot be opened.
    """
    if edited():
        say("the code was edited while this was starting, so the scratch store is not used")
        return Store(None)
    return Store(open_shelf(), locks=scratch_folder())
