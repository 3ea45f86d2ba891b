"""The bytes that the hub promises: sha256 of a large file, Git's blob id of a small one."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from huggingface_hub import try_to_load_from_cache

from adarank.errors import Problem, RunError, input_error
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import sha256
from adarank.pipeline.sources.spec import HubSource

T = TypeVar("T")
_CHUNK = 2**20  # bytes read at once


@dataclass(frozen=True)
class Promise:
    """What the hub says of one file at one commit.

    Attributes:
        size: Bytes.
        sha256: Hash of a large file's bytes; None for a small file.
        blob_id: Git's id of a small file; of a large one it is the id of its pointer.
    """

    size: int
    sha256: str | None = None
    blob_id: str | None = None


def promises(siblings: Iterable[Any] | None, where: str) -> dict[str, Promise]:
    """Read what the hub's answer says of each file of a repository, by name.

    Raises:
        InputError: A name that climbs out of its folder.
    """
    found: dict[str, Promise] = {}
    for file in siblings or []:
        check_name(file.rfilename, where)
        large = getattr(file, "lfs", None)
        small_id = None if large else getattr(file, "blob_id", None)
        found[file.rfilename] = Promise(file.size or 0, large.sha256 if large else None, small_id)
    return found


def check_name(name: str, where: str) -> None:
    """Refuse a file's name that leads out of the folder it is said to be in: InputError."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise input_error(
            "a file's name climbs out of its folder",
            where=where,
            got=name,
            remedy="choose another source: no honest tool makes such a name",
        )


def kept(
    fetch: Callable[[], T],
    source: HubSource,
    kind: str,
    commit: str,
    promised: Mapping[str, Promise],
    forget: Callable[[T], None] = lambda _: None,
) -> T:
    """Fetch into the hub's cache, once more where the bytes are not those promised.

    Args:
        fetch: Fills the cache, and may read from it.
        source: The repository.
        kind: `model` or `dataset`.
        commit: The commit asked for.
        promised: What the hub promises, by file name.
        forget: Undoes what was made of wrong bytes.

    Raises:
        RunError: The bytes are wrong the second time too; they are not left in the cache.
    """
    for again in (False, True):
        try:
            value = fetch()
        except Exception:
            # Wrong bytes may be why: then that is reported, or another try may do.
            problems = _broken(source, kind, commit, promised)
            if again or not problems:
                _raise(problems)
                raise
        else:
            problems = _broken(source, kind, commit, promised)
            if not problems:
                return value
            forget(value)
        if again:
            _raise(problems)
        say(f"download: {problems[0].where} came with wrong bytes; fetching it again")
    raise AssertionError


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise RunError(*problems) from None


def _broken(
    source: HubSource, kind: str, commit: str, promised: Mapping[str, Promise]
) -> list[Problem]:
    """Compare what the cache has of a commit, and take out of it what is wrong."""
    problems: list[Problem] = []
    for name, promise in promised.items():
        link = try_to_load_from_cache(source.repository, name, revision=commit, repo_type=kind)
        if isinstance(link, str) and (wrong := _difference(Path(link), promise)):
            got, expected = wrong
            Path(link).resolve().unlink(missing_ok=True)
            Path(link).unlink(missing_ok=True)
            remedy = "run again later; a proxy or mirror on the way may alter files"
            what = "its bytes are not those that the hub promises"
            problems.append(
                Problem(what, f"{source.repository}: {name}", got, f"{expected}", remedy)
            )
    return problems


def _difference(path: Path, promise: Promise) -> tuple[str, str] | None:
    if promise.sha256 is not None:
        found, wanted = sha256(path), promise.sha256
    elif promise.blob_id is not None:
        found, wanted = _blob_id(path), promise.blob_id
    else:
        return None
    return None if found == wanted else (found, wanted)


def _blob_id(path: Path) -> str:
    """Compute Git's id of a file, sha1 of `blob SIZE\\0` and its bytes, a MiB at a time."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
