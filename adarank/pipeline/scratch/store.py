"""The scratch store: finished and half-finished work, by a hash of all that decides it.

Outs of a stage are removed before it runs, so work that shall survive a kill lies here. Entries are
whole or absent, checked when read, and shared by every process of a user; see docs/RESUME.md.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.places import scratch_folder
from adarank.pipeline.files.whole import write_bytes
from adarank.pipeline.scratch.entry import DamagedError, Entry, pack, unpack
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
        if self.folder is None:
            return None
        path = self._path(self.folder, key, part)
        try:
            entry = unpack(path.read_bytes())
        except FileNotFoundError:
            return None
        except DamagedError as error:
            say(f"{key.what}: scratch entry {path} is damaged ({error}); deleted, done again")
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        except OSError as error:
            # Of the entry this says nothing: too many open files, a network that is away.
            why = error.strerror or error
            say(f"{key.what}: scratch entry {path} cannot be read now ({why}); done again")
            return None
        # An entry in another user's store may be read but not touched.
        with suppress(OSError):
            os.utime(path)
        return entry

    def put(self, key: Key, entry: Entry, part: str = "") -> None:
        """Write an entry, or replace it."""
        if not self._open(key):
            return
        assert self.folder is not None
        try:
            write_bytes(self._path(self.folder, key, part), *pack(key.kind, key.what, entry))
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
