"""Temporary names beside their targets, which a killed process cannot leave behind for good.

Whoever fills one holds its lock, which the system takes from the dead: the next to write the same
target removes what nobody holds. Left over, a file would count as part of a folder that DVC hashes.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def temporary_beside(path: Path, *, folder: bool) -> Iterator[Path]:
    """Make an empty file or folder beside a path, and remove it afterwards if it is still there.

    Args:
        path: What it is to become.
        folder: Whether it is one, or a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    handle, working = _claimed(path, folder)
    try:
        yield working
    finally:
        remove(working)
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there, and ignore what cannot be removed."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _claimed(path: Path, folder: bool) -> tuple[int, Path]:
    make = tempfile.mkdtemp if folder else _make_file
    while True:
        working = Path(make(dir=path.parent, prefix=f".{path.name}."))
        try:
            handle = os.open(working, os.O_RDONLY)
        except FileNotFoundError:
            continue
        _lock(handle, wait=True)
        # Another process may have taken it for a dead one's before it was locked.
        if os.fstat(handle).st_nlink:
            return handle, working
        os.close(handle)


def _make_file(*, dir: Path, prefix: str) -> str:
    handle, name = tempfile.mkstemp(dir=dir, prefix=prefix)
    os.close(handle)
    return name


def _clear(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.*"):
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY)
            try:
                if _lock(handle, wait=False):
                    remove(left)
            finally:
                os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        # Held by another, or a file system without locks, where nothing is taken for left over.
        return False
    return True
