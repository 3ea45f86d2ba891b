"""The three parts of a sweep: what cells share, the cells, what is made from all of them."""

import asyncio
from collections.abc import Collection, Mapping

from adarank.commands.sweep.commands import LOGS, repro
from adarank.commands.sweep.graph import Graph, stale
from adarank.commands.sweep.log import counted, error_lines, what_happened
from adarank.commands.sweep.outcome import Failure, Outcome
from adarank.commands.sweep.show import Board
from adarank.commands.sweep.where import Where, run_here
from adarank.errors import run_error


async def run_common(
    what: str, graph: Graph, stages: Collection[str], failures: Collection[Failure], board: Board
) -> list[Failure]:
    """Bring up to date here what cells share, in one command of DVC.

    Args:
        what: The stages, in words; its log has that name.
        graph: The pipeline.
        stages: Those that all cells need, or some of them and what they need.
        failures: Stages whose results are not there: what needs them is left out.
        board: Where progress is shown.

    Returns:
        The stages that failed, without those that did not run because of them.

    Raises:
        RunError: The command failed, but no stage of it.
    """
    left = graph.not_wanting(stages, _lost(failures))
    # Asked for no stage in particular, DVC would take all of them.
    if not left or not stale(left):
        board.say(f"{what}: up to date")
        return []
    log = LOGS / f"{what.replace(' ', '-')}.log"
    with board.running(what):
        code = await repro(["--keep-going", *left], log, {})
    text = log.read_text(encoding="utf-8", errors="replace")
    board.say(f"{what}: {counted(what_happened(text)) or 'FAILED'}")
    if code == 0:
        return []
    undone = stale(left)
    failed = [stage for stage in left if stage in undone]
    roots = [stage for stage in failed if not graph.needs[stage] & undone]
    if not roots:
        raise run_error("dvc repro failed", where=str(log), got="\n".join(error_lines(text, "")))
    return [Failure(stage, log, error_lines(text, stage)) for stage in roots]


async def run_cells(
    graph: Graph,
    cells: Mapping[str, tuple[str, ...]],
    failures: Collection[Failure],
    where: Where,
    board: Board,
) -> dict[str, Outcome]:
    """Run the stale cells, as many at a time as there is room for.

    Args:
        graph: The pipeline.
        cells: The stages of each by its name; or single stages that run where cells do.
        failures: Stages whose results are not there.
        where: Where they run.
        board: Where progress is shown.
    """
    lost = _lost(failures)
    outcomes = {name: _before(graph, stages, lost) for name, stages in cells.items()}
    ready = [stage for name in outcomes if outcomes[name].good for stage in cells[name]]
    undone = stale(ready) if ready else set[str]()
    waiting: dict[str, tuple[str, ...]] = {}
    for name, outcome in outcomes.items():
        if outcome.good and not undone.isdisjoint(cells[name]):
            waiting[name] = cells[name]
        else:
            board.cell(name, outcome)
    if waiting:
        await where.prepare(waiting, undone)

    async def work() -> None:
        while waiting:
            name = next(iter(waiting))
            outcomes[name] = await where.run(name, waiting.pop(name), board)
            board.cell(name, outcomes[name])

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(where.room, len(waiting))):
            workers.create_task(work())
    return outcomes


async def run_after(
    graph: Graph, failures: Collection[Failure], cells: Mapping[str, Outcome], board: Board
) -> dict[str, Outcome]:
    """Run what needs several cells, each such stage only if all that it needs is there."""
    lost = _lost([*failures, *(o.failure for o in cells.values() if o.failure)])
    outcomes: dict[str, Outcome] = {}
    for stage in graph.after:
        if graph.wanting([stage], lost):
            outcomes[stage] = Outcome(lacks=_lacking(graph, stage, lost))
        elif not stale([stage]):
            outcomes[stage] = Outcome({stage: "unchanged"})
        else:
            outcomes[stage] = await run_here([stage], {}, board)
        failure = outcomes[stage].failure
        lost |= {failure.stage} if failure else set()
        board.say(f"{stage}: {outcomes[stage]}")
    return outcomes


def _lost(failures: Collection[Failure]) -> set[str]:
    return {failure.stage for failure in failures}


def _before(graph: Graph, stages: Collection[str], lost: Collection[str]) -> Outcome:
    """Return what a cell is before anything of it ran: up to date, unless it lacks something."""
    lacks = graph.wanting(stages, lost)
    return Outcome(lacks=tuple(lacks)) if lacks else Outcome(dict.fromkeys(stages, "unchanged"))


def _lacking(graph: Graph, stage: str, lost: Collection[str]) -> tuple[str, ...]:
    """Name the cells that a stage needs and that are not there; or else the stages."""
    needed = [name for name, own in graph.cells.items() if graph.needs[stage].intersection(own)]
    cells = [name for name in needed if graph.wanting(graph.cells[name], lost)]
    return tuple(cells or graph.wanting([stage], lost))
