"""What DVC says differs between a commit and the working tree: metrics, parameters, figures."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.repo import Repo

from adarank.errors import input_error


@dataclass(frozen=True)
class Change:
    """A value on both sides.

    Attributes:
        key: Its name, as DVC gives it: `finetune.steps`, `accuracy.uniform-4`.
        old: The value at the base; None where there was none.
        new: The value now; None where there is none.
    """

    key: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Artifacts:
    """Which outputs of one folder are not those of the base, by content.

    Attributes:
        folder: The folder, such as `data/plans`.
        changed: Names whose content differs.
        added: Names that the base lacks.
        removed: Names that only the base has.
    """

    folder: str
    changed: list[str]
    added: list[str]
    removed: list[str]


def metric_changes(base: str) -> list[Change]:
    """List the metrics that differ from a commit, as `dvc metrics diff` finds them."""
    return _differences("metrics", base)


def param_changes(base: str) -> list[Change]:
    """List the parameters that differ from a commit, as `dvc params diff` finds them."""
    return _differences("params", base)


def draw_plots(base: str, folder: Path) -> str:
    """Draw both sides' plots into folder/index.html; what could not be drawn, in words."""
    folder.parent.mkdir(parents=True, exist_ok=True)  # DVC makes the last folder alone
    done = _dvc("plots", "diff", base, "--out", str(folder))
    if done.returncode:
        return f"no figures: {_last_line(done.stderr)}"
    return "some figures need data that is not here" if "failed to load" in done.stderr else ""


def artifact_changes(base: str) -> list[Artifacts]:
    """Compare the outputs of a commit's stages with those of today's, by dvc.lock.

    `dvc diff` compares the same hashes, but lists every file of a folder whose cache is here, and
    takes outputs that were not pulled for deleted. dvc.lock alone also names outputs of stages
    that are no more.
    """
    hashes: dict[str, dict[str, str]] = {}
    with Repo() as repo:
        for revision in repo.brancher(revs=[base]):
            hashes[revision] = _hashes(repo)
    now = hashes.pop("workspace")
    return moved(next(iter(hashes.values()), now), now)


def moved(base: dict[str, str], head: dict[str, str]) -> list[Artifacts]:
    """Sort the outputs that differ by folder, given every output's hash on both sides."""
    found: dict[str, Artifacts] = {}
    for path in sorted(base.keys() | head.keys()):
        if base.get(path) != head.get(path):
            folder, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
            one = found.setdefault(folder, Artifacts(folder, [], [], []))
            _fitting(one, path in base, path in head).append(name)
    return list(found.values())


def _fitting(one: Artifacts, before: bool, now: bool) -> list[str]:
    return one.changed if before and now else one.added if now else one.removed


def _hashes(repo: Repo) -> dict[str, str]:
    return {
        str(PurePosixPath(out.stage.path_in_repo).parent / out.def_path): str(out.hash_info.value)
        for out in repo.index.outs
        if out.hash_info
    }


def _differences(what: str, base: str) -> list[Change]:
    done = _dvc(what, "diff", "--json", base)
    if done.returncode:
        raise input_error(
            f"DVC cannot compare the {what}",
            where=f"dvc {what} diff {base}",
            got=_last_line(done.stderr),
            remedy="run that command and fix what it says",
        )
    by_file: Mapping[str, Mapping[str, Any]] = json.loads(done.stdout or "{}")
    rows = [(key, row) for values in by_file.values() for key, row in values.items()]
    return sorted((Change(k, row.get("old"), row.get("new")) for k, row in rows), key=_key)


def _key(change: Change) -> str:
    return change.key


def _dvc(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        env=os.environ | {"DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and "dvc.org/support" not in line]
    return lines[-1] if lines else "no message"
