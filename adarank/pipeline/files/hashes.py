"""Hashes of files and folders; a large file is read once, and not again by every stage.

The hash of a large file is kept in the scratch store under all that the file system says of it:
path, device, inode, size, and the times of its last write and of its last change, to the
nanosecond. The last cannot be set by a program, so a file of the same size whose time of writing
was put back, or that took another's place, is hashed again. Nothing is kept of a file that changed
within the last ten seconds: it could change again within one tick of the file system's clock.

What this cannot see is what a file system does not say: a bit that flips on the disk, a server
whose clock is far behind, and a program that goes on writing through a memory map.
"""

import hashlib
import json
import os
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from adarank.pipeline.files.places import scratch_folder
from adarank.pipeline.files.temporary import temporary_beside

KIND = "hash"
LARGE = 8 * 2**20
"""Bytes from which on a file's hash is kept: below, hashing takes milliseconds."""

_SETTLED = 10.0


def sha256(path: Path) -> str:
    """Hash a file's bytes, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_sha256(folder: Path, names: Collection[str] | None = None) -> str | None:
    """Hash a folder, or the files of it named: the sha256 of its sorted `name sha256` lines.

    Returns:
        None where there is no file.
    """
    found = folder.rglob("*") if names is None else (folder / name for name in names)
    files = sorted(p for p in found if p.is_file())
    lines = [f"{p.relative_to(folder).as_posix()} {known_sha256(p)}\n" for p in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if files else None


def known_sha256(path: Path) -> str:
    """Hash a file, or look its hash up where it is large and has not changed since."""
    store, before = scratch_folder(), path.stat()
    if store is None or before.st_size < LARGE:
        return sha256(path)
    what = str(path.resolve())
    entry = store / KIND / _key(what, before)
    found = _read(entry, what)
    if found is None:
        found = sha256(path)
        # Also a clock that was set back, or a file from the future, is not settled.
        settled = time.time() - max(before.st_mtime, before.st_ctime) > _SETTLED
        if settled and _key(what, path.stat()) == entry.name:
            _write(entry, what, found)
    return found


def _key(what: str, stat: os.stat_result) -> str:
    said = [what, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _read(entry: Path, what: str) -> str | None:
    try:
        first, _, digest = entry.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    if first != _first_line(entry.name, what, digest):
        return None
    with suppress(OSError):
        os.utime(entry)  # pruning goes by the time of the last use
    return digest


def _write(entry: Path, what: str, digest: str) -> None:
    # Whole or absent. Its loss costs a hash, so nothing is said of a store that is full.
    with suppress(OSError), temporary_beside(entry, folder=False) as working:
        working.write_text(f"{_first_line(entry.name, what, digest)}\n{digest}", encoding="utf-8")
        working.replace(entry)


def _first_line(key: str, what: str, digest: str) -> str:
    """What every entry of the scratch store begins with; its checksum covers key and hash."""
    check = hashlib.sha256(json.dumps([KIND, what, key, digest]).encode()).hexdigest()
    return json.dumps({"kind": KIND, "what": what, "sha256": check})
