"""Units of work for other machines, made of what DVC knows of a cell's stages."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
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

    @cached_property
    def params(self) -> str:
        """The text of params.yaml."""
        return read_params()

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
                return {
                    name: self._of_cell(name, [known[s] for s in _from_first(stages, undone)], repo)
                    for name, stages in cells.items()
                }
        except DvcException as error:
            raise unreadable(error) from None

    def _of_cell(self, name: str, stages: list[Any], repo: Repo) -> CellUnit:
        steps: list[Step] = []
        for stage in stages:
            outs = [out for step in steps for out in step.outs]
            if steps and not _sendable(stage, outs):
                break
            steps.append(self._step(stage, outs))
        later = tuple(stage.addressing for stage in stages[len(steps) :])
        unit = Unit(name, tuple(steps), self.params, self.versions)
        made = _in_run_cache(stages[0], repo) or self.blobs.record(steps[0].digest()) is not None
        return CellUnit(unit, made, later)

    def _step(self, stage: Any, made_before: Collection[str]) -> Step:
        command = _command(stage)
        keys = [k for d in stage.deps if isinstance(d, ParamsDependency) for k in d.params]
        paths = [d.def_path for d in stage.deps if not isinstance(d, ParamsDependency)]
        data = [path for path in paths if path.split("/")[0] not in PACKAGES]
        return Step(
            stage=stage.addressing,
            command=command,
            params=values_of(keys, self.params),
            code=code_of(command),
            inputs=hashes_below(tuple(path for path in data if path not in made_before)),
            needs=tuple(path for path in data if path in made_before),
            outs=tuple(out.def_path for out in stage.outs),
            setting={**self.setting, **self.versions},
        )


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
