"""What lies in the scratch store, and taking it away."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from adarank.pipeline.scratch.entry import DamagedError, read_header
from adarank.pipeline.scratch.shelf import FILES, NOW, STEPS
from adarank.pipeline.scratch.store import LOCKS, lock_of

_OF_CLUSTERS = (FILES, STEPS, NOW)


@dataclass(frozen=True)
class Listed:
    """One file of the store.

    Attributes:
        path: Where it is.
        kind: What kind of entry: scores, seed, rate, checkpoint, evaluation; `left over` for what
            a killed process did not finish, `damaged` for what is no entry.
        what: Whose, in words.
        size: In bytes.
        age: Seconds since it was written or taken last.
    """

    path: Path
    kind: str
    what: str
    size: int
    age: float

    @property
    def digest(self) -> str:
        """The key it belongs to."""
        return self.path.name.lstrip(".").partition(".")[0]


def listed(folder: Path) -> list[Listed]:
    """List a store's files, by kind and what they are."""
    found = [
        _listed(path)
        for path in (folder.rglob("*") if folder.is_dir() else [])
        if path.is_file() and path.parent.name != LOCKS
    ]
    return sorted((one for one in found if one), key=lambda one: (one.kind, one.what, one.age))


def prune(folder: Path, wanted: Callable[[Listed], bool]) -> tuple[list[Listed], list[Listed]]:
    """Remove what is wanted away, but for what a live process holds.

    Returns:
        What was removed, and what is in use.
    """
    removed: list[Listed] = []
    in_use: list[Listed] = []
    for one in listed(folder):
        if wanted(one):
            (removed if _removed(folder, one) else in_use).append(one)
    _remove_free_locks(folder)
    return removed, in_use


def _listed(path: Path) -> Listed | None:
    try:
        found = path.stat()
    except OSError:
        # Another process has taken it away meanwhile.
        return None
    try:
        if path.parent.name in _OF_CLUSTERS:
            kind, what = path.parent.name, f"of cells on other machines: {path.name}"
        else:
            header = read_header(path)
            kind, what = header.kind, header.what
    except DamagedError:
        kind, what = "damaged", path.name
    except OSError:
        # Another process has taken it away meanwhile.
        return None
    if path.name.startswith("."):
        kind, what = "left over", path.name
    return Listed(path, kind, what, found.st_size, time.time() - found.st_mtime)


def _removed(folder: Path, one: Listed) -> bool:
    (folder / LOCKS).mkdir(exist_ok=True)
    lock = lock_of(folder, one.digest)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    try:
        one.path.unlink(missing_ok=True)
    finally:
        lock.release()
    return True


def _remove_free_locks(folder: Path) -> None:
    """Remove the lock files of keys that have no entry any more and that nobody holds."""
    kept = {one.digest for one in listed(folder)}
    for path in (folder / LOCKS).glob("*.lock"):
        if path.stem in kept or time.time() - path.stat().st_mtime < 86400:
            continue
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        path.unlink(missing_ok=True)
        lock.release()
