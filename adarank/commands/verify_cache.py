"""Verify what DVC keeps of the study: the content of its cache against the hashes in dvc.lock.

DVC takes a write-protected file of its cache at its word: a byte that flipped there is copied into
the workspace, and `dvc status` calls it up to date.

Run: python -m adarank.commands.verify_cache, or with --repair to remove or restore what is damaged
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo

from adarank.errors import InputError, Problem, input_error
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import say, telling_errors
from adarank.pipeline.files.temporary import temporary_beside

_FOLDER = ".dir"
_REMEDY = "make verify REPAIR=1 removes it; make repro then makes it again, or dvc pull fetches it"

app = typer.Typer(add_completion=False)
Repair = Annotated[bool, typer.Option("--repair", help="Remove or restore what is damaged.")]


@dataclass(frozen=True)
class Kept:
    """A file of DVC's cache, and what it is a copy of.

    Attributes:
        path: The artifact, in the workspace.
        stage: The stage that made it.
        md5: What its content must hash to.
        cached: The file in the cache; it need not be there.
    """

    path: Path
    stage: str
    md5: str
    cached: Path

    def damaged(self) -> bool:
        """Return whether the cache's file is there and holds something else."""
        return self.cached.is_file() and _md5(self.cached) != self.md5


@app.command()
def main(repair: Repair = False) -> None:
    """Hash what the cache keeps of the study; exit code 2, and all names, if any is damaged."""
    with telling_errors("verify"):
        kept = read_kept()
        damaged = _damaged(kept)
        if damaged and not repair:
            raise InputError(*map(_problem, damaged))
        for one in damaged:
            say(f"verify: {_repaired(one)}")
        for path in _changed(kept):
            say(f"verify: {path} is not what dvc.lock says; DVC will look at it again")
        whole = {one.cached for one in kept if one.cached.is_file()}
        say(f"verify: {len(whole)} files of the cache hold what dvc.lock says")


def read_kept() -> list[Kept]:
    """List what DVC's cache keeps of the study in the current folder, file by file.

    Raises:
        InputError: dvc.yaml or dvc.lock cannot be read.
    """
    try:
        with Repo() as repo:
            return [one for out in repo.index.outs if out.use_cache for one in _kept(out)]
    except DvcException as error:
        where, remedy = "dvc.yaml, dvc.lock", "dvc status says more; Git has the last good ones"
        raise input_error("DVC cannot read it", where=where, got=error, remedy=remedy) from None


def _kept(out: Output) -> Iterator[Kept]:
    """An out's files; of a folder, the list of its files first, which is a file of its own."""
    path, stage = Path(os.path.relpath(out.fs_path)), out.stage.addressing
    oid = str(out.hash_info.value) if out.hash_info else ""
    if not oid:
        return
    listed = Kept(path, stage, oid.removesuffix(_FOLDER), _cached(out, oid))
    yield listed
    if oid.endswith(_FOLDER) and listed.cached.is_file() and not listed.damaged():
        for entry in json.loads(listed.cached.read_bytes()):
            md5 = entry["md5"]
            yield Kept(path / entry["relpath"], stage, md5, _cached(out, md5))


def _cached(out: Output, oid: str) -> Path:
    return Path(os.path.relpath(out.cache.oid_to_path(oid)))


def _damaged(kept: Iterable[Kept]) -> list[Kept]:
    """Find the damaged files of the cache, each once."""
    files = {one.cached: one for one in kept}
    return [one for one in _watched(list(files.values())) if one.damaged()]


def _watched(kept: Sequence[Kept]) -> Iterator[Kept]:
    with progress("verify", len(kept), delay=2) as advance:
        for one in kept:
            yield one
            advance()


def _repaired(one: Kept) -> str:
    """Restore a damaged file of the cache from the workspace, or remove it; what was done."""
    if one.path.is_file() and _md5(one.path) == one.md5:
        with temporary_beside(one.cached, folder=False) as working:
            shutil.copyfile(one.path, working)
            working.chmod(0o444)
            working.replace(one.cached)
        return f"{one.cached} was damaged; restored from {one.path}"
    one.cached.unlink()
    return f"{one.cached} was damaged and is removed; {one.stage} makes {one.path} again"


def _changed(kept: Sequence[Kept]) -> Iterator[Path]:
    """Touch what differs in the workspace: DVC trusts files that look as old as it knows them.

    It may be half a result, an edit, or a copy of what was damaged; DVC finds that out.
    """
    for one in _watched(kept):
        if one.path.is_file() and _md5(one.path) != one.md5:
            one.path.touch()
            yield one.path


def _problem(one: Kept) -> Problem:
    return Problem(
        "a file of DVC's cache is damaged",
        f"{one.cached}, which is {one.path} of stage {one.stage}",
        f"content with md5 {_md5(one.cached)}",
        f"md5 {one.md5}",
        _REMEDY,
    )


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


if __name__ == "__main__":
    app()
