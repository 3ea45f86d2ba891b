"""Files by their sha256 in the scratch store, and records that name them.

A file's name is its content's hash, so it is written once, whoever writes it, and checked whenever
it is read. A record is written after all that it names, so it never names what is not there.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from adarank.errors import RunError, input_error, run_error
from adarank.pipeline.files.hashes import known_sha256, sha256
from adarank.pipeline.files.places import scratch_folder
from adarank.pipeline.files.whole import whole_file
from adarank.pipeline.scratch.shelf import FILES, STEPS, Shelf, open_shelf

_CHUNK = 2**20


class Blobs:
    """The files and records of a store.

    Args:
        shelf: The store's.
    """

    def __init__(self, shelf: Shelf):
        self.shelf = shelf

    def put(self, path: Path, digest: str) -> None:
        """Write a file, unless it is there.

        Raises:
            OSError: The store cannot be written, or the file is no longer what it was.
        """
        name = f"{FILES}/{digest}"
        if self.shelf.has(name):
            self.shelf.used(name)
            return
        hasher = hashlib.sha256()
        with path.open("rb") as source, self.shelf.writing(name) as target:
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
                target.write(chunk)
            if hasher.hexdigest() != digest:
                raise OSError(f"{path} changed while it was read")

    def fetched(self, digest: str) -> Path:
        """Copy a file to this machine, unless it is here; returns its read-only copy.

        Of a store that is a folder, the copy is the store's own.

        Raises:
            OSError: It is not there, or cannot be read.
        """
        folder = scratch_folder()
        assert folder is not None
        path = folder / FILES / digest
        if not path.exists():
            self.copy(digest, path)
        elif known_sha256(path) != digest:
            raise self._damaged(digest, path)
        # Another user's file, in a folder that all share, is as it is; and a chmod that changes
        # nothing would still have the next reader hash the file again.
        with suppress(OSError):
            if path.stat().st_mode & 0o222:
                path.chmod(0o444)
        return path

    def record(self, digest: str) -> dict[str, Any] | None:
        """Read the record of a step; None where there is none, or a damaged one."""
        try:
            with self.shelf.reading(f"{STEPS}/{digest}") as stream:
                found = json.loads(stream.read())
        except (FileNotFoundError, ValueError):
            return None
        # A file that was pruned, or found damaged, takes its record with it.
        named = found["files"].values()
        return found if all(self.shelf.has(f"{FILES}/{one}") for one in named) else None

    def put_record(self, digest: str, record: dict[str, Any]) -> None:
        """Write the record of a step, after the files that it names."""
        with self.shelf.writing(f"{STEPS}/{digest}") as stream:
            stream.write(json.dumps(record, sort_keys=True).encode())

    def copy(self, digest: str, target: Path) -> None:
        """Write a file of the store to a place, whole and checked.

        Raises:
            OSError: It is not there, cannot be read, or is damaged; then it is removed.
        """
        name, hasher = f"{FILES}/{digest}", hashlib.sha256()
        with self.shelf.reading(name) as source, whole_file(target) as copy:
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
                copy.write(chunk)
            if hasher.hexdigest() != digest:
                raise self._damaged(digest, target)

    def _damaged(self, digest: str, copy: Path) -> OSError:
        """Remove a file that is not what its name says, and this machine's copy."""
        place = f"{self.shelf}/{FILES}/{digest}"
        self.shelf.remove(f"{FILES}/{digest}")
        with suppress(OSError):
            copy.unlink(missing_ok=True)
        return OSError(f"{place} was damaged, and is removed: run the same command again")


def files_below(path: Path) -> list[Path]:
    """List a file, or all files below a folder, sorted."""
    if path.is_file():
        return [path]
    return sorted(one for one in path.rglob("*") if one.is_file())


def put_files(blobs: Blobs, paths: list[Path]) -> dict[str, str]:
    """Write files; returns their hashes by path."""
    digests = {path: sha256(path) for path in paths}
    for path, digest in digests.items():
        blobs.put(path, digest)
    return {path.as_posix(): digest for path, digest in digests.items()}


def open_blobs() -> Blobs:
    """Open the files of the scratch store that the environment names.

    Raises:
        InputError: It is off.
    """
    shelf = open_shelf()
    if shelf is None:
        raise input_error(
            "cells on other machines need the scratch store",
            where="ADARANK_SCRATCH",
            got="off",
            expected="a folder that all machines share, or s3://bucket/prefix",
        )
    return Blobs(shelf)


def unreadable_store(blobs: Blobs, error: OSError) -> RunError:
    """Make the error for a store that cannot be read."""
    return run_error("the scratch store cannot be read", where=str(blobs.shelf), got=str(error))


def try_store(shelf: Shelf) -> None:
    """Write, read and remove a file of its own.

    Raises:
        OSError: The store cannot be used.
    """
    # A name of its own: several machines check at once.
    name = f"{FILES}/check-{uuid4().hex}"
    with shelf.writing(name) as stream:
        stream.write(b"check")
    with shelf.reading(name) as stream:
        if stream.read() != b"check":
            raise OSError("another content was read than was written")
    with suppress(OSError):
        shelf.remove(name)
