"""A unit of work for another machine: stages of one cell, each a pure function of its inputs.

What a stage makes is named by a hash of all that decides it: its command, the parameters it reads,
its code, the hashes of its input files, the versions of the libraries, and how many threads or
GPUs it may use. Whoever is to run a step asks the store for that name first. So a step that is sent
twice, or retried after its machine was lost, or wanted by another user, is computed once.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from adarank.pipeline.clusters.blobs import files_below
from adarank.pipeline.files.hashes import known_sha256

PARAMS = "params.yaml"


@dataclass(frozen=True)
class Step:
    """One stage.

    Attributes:
        stage: Its name in dvc.yaml; for people, no part of the digest.
        command: As dvc.yaml has it, without the launcher.
        params: What it reads of params.yaml, by key.
        code: The fingerprint of its code.
        inputs: The hashes of its input files, by path.
        needs: Files and folders that earlier steps of its unit make, and that it reads.
        outs: Files and folders that it makes.
        setting: What else decides the result: threads, GPUs, versions.
    """

    stage: str
    command: str
    params: Mapping[str, Any]
    code: str
    inputs: Mapping[str, str]
    needs: tuple[str, ...]
    outs: tuple[str, ...]
    setting: Mapping[str, Any]

    def digest(self, top: Path = Path()) -> str:
        """Hash all that decides the result.

        Args:
            top: The folder in which what it needs of earlier steps lies.
        """
        files = {**self.inputs, **hashes_below(self.needs, top)}
        decides = [self.command, dict(self.params), self.code, files, self.outs, dict(self.setting)]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Unit:
    """Steps that run one after the other on one machine.

    Attributes:
        name: The cell's.
        steps: In their order.
        params: The whole of params.yaml, as text.
        versions: Of Python and packages on the driver's machine.
    """

    name: str
    steps: tuple[Step, ...]
    params: str
    versions: Mapping[str, str]

    def to_json(self) -> str:
        """Return the unit as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def key(self) -> str:
        """A name of its own, among all units of all studies."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def unit_from(text: str) -> Unit:
    """Read a unit from JSON."""
    found = json.loads(text)
    return Unit(**found | {"steps": tuple(step_from(step) for step in found["steps"])})


def step_from(found: Mapping[str, Any]) -> Step:
    """Make a step of what JSON holds of it."""
    values: dict[str, Any] = {**found, "needs": tuple(found["needs"]), "outs": tuple(found["outs"])}
    return Step(**values)


def hashes_below(paths: tuple[str, ...], top: Path = Path()) -> dict[str, str]:
    """Hash files and the files below folders, by path as given; large ones once."""
    return {
        file.relative_to(top).as_posix(): known_sha256(file)
        for path in paths
        for file in files_below(top / path)
    }


def read_params() -> str:
    """Return the text of params.yaml in the current folder; empty without one."""
    path = Path(PARAMS)
    return path.read_text(encoding="utf-8") if path.exists() else ""


def values_of(keys: Iterable[str], params: str) -> dict[str, Any]:
    """Look up keys, such as tasks.trec, in the text of params.yaml; None for those left out."""
    whole = _loaded(params)
    return {key: _value(whole, key.split(".")) for key in keys}


@cache
def _loaded(params: str) -> Any:
    return YAML(typ="safe").load(params) or {}


def _value(section: Any, keys: list[str]) -> Any:
    for key in keys:
        section = section.get(key) if isinstance(section, dict) else None
    return section
