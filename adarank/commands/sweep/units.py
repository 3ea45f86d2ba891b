"""Units of work for other machines, made of what DVC knows of a cell's stages."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage.cache import RunCacheNotFoundError

from adarank.commands.sweep.graph import unreadable
from adarank.errors import input_error
from adarank.pipeline.clusters.blobs import Blobs
from adarank.pipeline.clusters.code import code_of
from adarank.pipeline.clusters.steps import Step, Unit, hashes_below, read_params, values_of
from adarank.pipeline.scratch.closure import PACKAGES

LAUNCHER = "$RUN "


@dataclass(frozen=True)
class CellUnit:
    """What is to be done about a cell.

    Attributes:
        unit: Its stages from the first that is not up to date, as they would be sent.
        made: Whether the first of them is in DVC's run-cache or in the store: there is no need
            to send it.
        later: Its stages that run here when those of the unit are done.
    """

    unit: Unit
    made: bool
    later: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitMaker:
    """Makes units of stages.

    Attributes:
        blobs: The scratch store's.
        setting: What else decides their results: threads, GPUs.
        versions: Of Python and packages here.
    """

    blobs: Blobs
    setting: Mapping[str, Any]
    versions: Mapping[str, str]

    def make(
        self, cells: Mapping[str, Collection[str]], undone: Collection[str]
    ) -> dict[str, CellUnit]:
        """Make the units of cells, from the first stage of each that is not up to date.

        Raises:
            InputError: DVC cannot read the project, or a stage's command needs a shell.
        """
        try:
            with Repo(_wait_for_lock=True) as repo:
                known = {stage.addressing: stage for stage in repo.index.stages}
                params = read_params()
                return {
                    name: self._of_cell(
                        name, [known[s] for s in _from_first(stages, undone)], params, repo
                    )
                    for name, stages in cells.items()
                }
        except DvcException as error:
            raise unreadable(error) from None

    def _of_cell(self, name: str, stages: list[Any], params: str, repo: Repo) -> CellUnit:
        steps: list[Step] = []
        for stage in stages:
            outs = [out for step in steps for out in step.outs]
            if steps and not _sendable(stage, outs):
                break
            steps.append(self._step(stage, outs, params))
        later = tuple(stage.addressing for stage in stages[len(steps) :])
        unit = Unit(name, tuple(steps), params, self.versions)
        made = _in_run_cache(stages[0], repo) or self.blobs.record(steps[0].digest()) is not None
        return CellUnit(unit, made, later)

    def _step(self, stage: Any, made_before: Collection[str], params: str) -> Step:
        command = _command(stage)
        keys = [k for d in stage.deps if isinstance(d, ParamsDependency) for k in d.params]
        data = [path for path in _paths(stage) if not _is_code(path)]
        return Step(
            stage=stage.addressing,
            command=command,
            params=values_of(keys, params),
            code=code_of(command),
            inputs=hashes_below(tuple(path for path in data if path not in made_before)),
            needs=tuple(path for path in data if path in made_before),
            outs=tuple(out.def_path for out in stage.outs),
            setting={**self.setting, **self.versions},
        )


def not_sendable(stages: Collection[str]) -> dict[str, str]:
    """Say by stage what it reads that no other machine could be sent.

    Args:
        stages: Those whose inputs are there, as far as other stages make them.

    Raises:
        InputError: DVC cannot read the project.
    """
    try:
        with Repo(_wait_for_lock=True) as repo:
            paths = {s.addressing: _paths(s) for s in repo.index.stages if s.addressing in stages}
    except DvcException as error:
        raise unreadable(error) from None
    found: dict[str, str] = {}
    for stage, needed in paths.items():
        outside = [p for p in needed if Path(p).is_absolute() or ".." in Path(p).parts]
        missing = [p for p in needed if not Path(p).exists()]
        found |= {stage: f"{outside[0]} lies outside the project"} if outside else {}
        found |= {stage: f"{missing[0]} is not there"} if missing else {}
    return found


def _paths(stage: Any) -> list[str]:
    return [dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)]


def _is_code(path: str) -> bool:
    """Whether the code's fingerprint stands for it; not for a text among the code, as the probe."""
    inside = path.split("/")[0] in PACKAGES
    return inside and (Path(path).is_dir() or Path(path).suffix == ".py")


def _from_first(stages: Collection[str], undone: Collection[str]) -> list[str]:
    """Leave out the stages before the first that is not up to date."""
    order = list(stages)
    first = next((number for number, stage in enumerate(order) if stage in undone), 0)
    return order[first:]


def _sendable(stage: Any, outs: Collection[str]) -> bool:
    """Whether a stage can follow others on their machine.

    One that reads a folder of all cells cannot, as the summary does, which is a cell's own stage in
    a study of one cell.
    """
    deps = [dep.def_path for dep in stage.deps]
    return _plain(stage.cmd) and not any(o.startswith(f"{dep}/") for dep in deps for o in outs)


def _plain(command: Any) -> bool:
    found = isinstance(command, str) and set(command.removeprefix(LAUNCHER))
    return bool(found) and found.isdisjoint("$|&;<>`\n")


def _command(stage: Any) -> str:
    command = stage.cmd
    if _plain(command):
        return " ".join(command.removeprefix(LAUNCHER).split())
    raise input_error(
        "this command cannot run on another machine",
        where=f"dvc.yaml: {stage.addressing}",
        got=command,
        expected=f"{LAUNCHER}and one command without what only a shell understands",
    )


def _in_run_cache(stage: Any, repo: Repo) -> bool:
    stage.save_deps(allow_missing=True)
    try:
        repo.stage_cache.restore(stage, dry=True)
    except RunCacheNotFoundError:
        return False
    return True
