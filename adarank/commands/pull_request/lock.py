"""The lock gate: whether dvc.lock is of these parameters, this code and these results.

It needs no data, no cache and no remote: what is absent is taken to be what the lock says.
`dvc repro --dry --allow-missing` asks the same of each stage, exits 0 whatever the answer, and
misses a stage that was not run after the one before it, whose output then nobody has compared.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import Stage
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree

from adarank.errors import input_error
from adarank.pipeline.params.report import StaleBy

_ABSENT = ("deleted", "not in cache")
# Files of Python, folders of the package, and a stage's command; a file of another kind beside
# the code, such as the probe's sentences, is data.
_CODE = re.compile(r".*\.py: |(adarank|stages)(/[^.:]*)?: |changed command")


@dataclass(frozen=True)
class Stale:
    """A stage that `dvc repro` would run.

    Attributes:
        stage: Its name.
        reasons: What is not as dvc.lock says: `params.yaml: finetune.steps modified`.
    """

    stage: str
    reasons: list[str]

    @property
    def by(self) -> frozenset[StaleBy]:
        """Whether the project's code is not as dvc.lock says, or parameters, data or results."""
        return frozenset("code" if _CODE.match(why) else "inputs" for why in self.reasons)


def stale_stages() -> list[Stale]:
    """List the stages of the project here that dvc.lock no longer describes, in its order.

    Raises:
        InputError: dvc.yaml or dvc.lock cannot be read.
    """
    try:
        with Repo() as repo:
            said = repo.status()
            stages = {stage.addressing: stage for stage in repo.index.stages}
            outs = [out for stage in stages.values() for out in stage.outs]
            found = {
                name: [*_reasons(said.get(name, []), outs), *_unmatched(stage.deps, outs)]
                if _locked(stage)
                else ["not in dvc.lock"]
                for name, stage in stages.items()
            }
    except DvcException as error:
        raise input_error(
            "DVC cannot read the pipeline",
            where="dvc.yaml, dvc.lock",
            got=str(error),
            remedy="`dvc status` says more",
        ) from None
    return [Stale(name, list(dict.fromkeys(why))) for name, why in found.items() if why]


def _locked(stage: Stage) -> bool:
    return any(one.hash_info for one in (*stage.deps, *stage.outs))


def _reasons(said: list[Any], outs: list[Output]) -> Iterator[str]:
    """Put `dvc status` of a stage in words, leaving out what is merely not here."""
    for entry in said:
        if isinstance(entry, str):
            yield entry
            continue
        for changes in entry.values():
            for path, state in changes.items():
                if isinstance(state, dict):
                    yield from (f"{path}: {key} {how}" for key, how in state.items())
                elif state not in _ABSENT or not _kept_by_dvc(path, outs):
                    yield f"{path}: {state}"


def _kept_by_dvc(path: str, outs: list[Output]) -> bool:
    """Whether a path is an output in DVC's cache, lies in one, or holds one."""
    cached = [str(out) for out in outs if out.use_cache]
    return any(_within(path, out) or _within(out, path) for out in cached)


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place.rstrip('/')}/")


def _unmatched(deps: list[Any], outs: list[Output]) -> Iterator[str]:
    """Compare what a stage read with what the stages before it made, both by dvc.lock.

    A file below a folder that is one output cannot be looked up without the cache.
    """
    for dep in deps:
        made = _made(str(dep), outs)
        if dep.hash_info and made and dep.hash_info.value != made:
            yield f"{dep}: not what the stages before make now, or with a left-over file in it"


def _made(path: str, outs: list[Output]) -> str | None:
    """Return the hash of an output, or of a folder that outputs lie in; None if nothing records it.

    A folder in Git is not judged: it is here, with all else that lies in it, so DVC has hashed it.
    """
    inside = [out for out in outs if _within(str(out), path)]
    hashes = {str(out): out.hash_info for out in inside}
    if path in hashes:
        return _value(hashes[path])
    files = all(out.use_cache and out.hash_info and not out.hash_info.isdir for out in inside)
    if not (hashes and files):
        return None
    tree = Tree()
    for name, one in hashes.items():
        tree.add(tuple(name.removeprefix(f"{path}/").split("/")), Meta(), one)
    tree.digest()
    return _value(tree.hash_info)


def _value(one: HashInfo | None) -> str | None:
    return one.value if one else None
