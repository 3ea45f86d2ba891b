"""A cell's training cut into units of a few runs, and a scoring into shares of its modules.

Runs are seeds, and the rates that are tried before. Such a unit runs the cell's own finetune stage
with `--only`, which leaves its runs in the scratch store. The cell's own unit comes last: it finds
all of them there and trains nothing, so its bytes are those of a cell that was trained whole. Seeds
need the chosen rates, so rates go before. A share of a scoring, by `--share`, leaves its scores
there in the same way.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adarank.allocation.plan import RankPlan
from adarank.commands.sweep.outcome import Sent
from adarank.pipeline.artifacts.cell import Cell, StudySeeds
from adarank.pipeline.clusters.blobs import Blobs
from adarank.pipeline.clusters.steps import PARAMS, Unit
from adarank.pipeline.files.whole import read_json
from adarank.pipeline.params.finetune import FinetuneSection
from adarank.pipeline.params.loader import Slice, load
from adarank.pipeline.params.score import ScoreSection
from adarank.pipeline.params.share import share_problem
from adarank.pipeline.params.tasks import TasksSection, finetune_of

_FINETUNE = re.compile(
    r"-m stages\.finetune"
    r" --task (?P<task>\S+) --strategy (?P<strategy>\S+) --budget (?P<budget>\S+)$"
)
_SCORE = re.compile(
    r"-m stages\.score(?: --signal disagreement|_task --task \S+ --signal task_disagreement)$"
)


@dataclass(frozen=True)
class Cut:
    """Into what units the work of a stage is cut.

    Attributes:
        runs: How many training runs a unit has, at most; 0 for a whole cell.
        shares: How many units a scoring by exact draws has; 0 to score on the driver.
    """

    runs: int = 0
    shares: int = 0


WHOLE = Cut()


class _Scoring(Slice):
    score: ScoreSection


class _Params(Slice):
    study: StudySeeds
    tasks: TasksSection
    finetune: FinetuneSection


async def send_parts(
    unit: Unit, cut: Cut, blobs: Blobs, send: Callable[[Unit], Awaitable[Sent]]
) -> Sent | None:
    """Run a cell's training, or a scoring, in parts, each unless the store knows it as run.

    Args:
        unit: The whole.
        cut: Into what parts.
        blobs: The store's.
        send: Runs a unit on the cluster.

    Returns:
        What came of a part that failed, once those beside it have ended; None where all went well.
    """
    stage = unit.steps[0].stage
    for wave in await asyncio.to_thread(waves, unit, cut):
        records = [await asyncio.to_thread(blobs.record, p.steps[0].digest()) for p in wave]
        missing = [part for part, record in zip(wave, records, strict=True) if record is None]
        ended = await asyncio.gather(*map(send, missing))
        failed = [
            (part.name, sent)
            for part, sent in zip(missing, ended, strict=True)
            if stage not in sent.report.get("happened", {})
        ]
        if failed:
            return replace(failed[0][1], parts=tuple(name for name, _ in failed))
    return None


def waves(unit: Unit, cut: Cut) -> list[list[Unit]]:
    """Cut a cell's training, or a scoring, into units that can run side by side.

    Args:
        unit: The whole.
        cut: Into what parts; those of runs that are trained at once may have more.

    Returns:
        The parts, a list after the other; none where the unit can as well do it all.

    Raises:
        InputError: params.yaml or the plan is not what it should be.
    """
    if cut.shares > 1 and _SCORE.search(unit.steps[0].command) and not why_not_cut(unit, cut):
        shares = [f"{number}/{cut.shares}" for number in range(1, cut.shares + 1)]
        return [[_part(unit, f"--share {share}", [f"share {share}"]) for share in shares]]
    found = _FINETUNE.search(unit.steps[0].command)
    if cut.runs == 0 or found is None:
        return []
    # Here: it takes the seconds that torch takes, and no other sweep needs it.
    from adarank.pipeline.running.parts import candidates, parts, tries

    cell, params = Cell(**found.groupdict()), load(_Params, Path(PARAMS))
    section = finetune_of(params.finetune, params.tasks.find(cell.task))
    plan = RankPlan.from_json(read_json(cell.plan))
    rates, tried, seeds = candidates(section, plan), tries(section, plan), params.study.seeds
    at = f"learning rate {rates[0]}" if len(rates) == 1 else "the chosen learning rate"
    named = {
        "rate": [f"seed {seed} at learning rate {rate}" for seed, rate in tried],
        "seed": [f"seed {seed} at {at}" for seed in seeds],
    }
    units = {
        kind: parts(kind, len(runs), cut.runs, section.together) for kind, runs in named.items()
    }
    if len(units["seed"]) == 1:
        del units["seed"]  # the cell's own unit trains them
    if "seed" not in units and len(units["rate"]) < 2:
        return []
    return [
        [_part(unit, f"--only {part}", part.of(named[kind])) for part in found_parts]
        for kind, found_parts in units.items()
        if found_parts
    ]


def why_not_cut(unit: Unit, cut: Cut) -> list[str]:
    """Say why a scoring that was to be cut is not; nothing where it is, or was not to be.

    Raises:
        InputError: params.yaml is not what it should be.
    """
    if cut.shares < 2 or not _SCORE.search(unit.steps[0].command):
        return []
    problem = share_problem(load(_Scoring, Path(PARAMS)).score)
    return [f"{unit.name}: not cut: {problem.where}: {problem.got}"] if problem else []


def _part(unit: Unit, option: str, runs: Sequence[str]) -> Unit:
    whole = unit.steps[0]
    step = replace(whole, command=f"{whole.command} {option}", outs=())
    return replace(unit, name=f"{unit.name}: {', '.join(runs)}", steps=(step,))
