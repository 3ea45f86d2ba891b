"""Bring the whole study up to date, its cells side by side; a cell that fails stops no other.

What the cells share comes first, in one command. Then each stale cell runs: here as a command a
stage, `dvc --wait-for-lock repro --single-item STAGE`, which DVC allows beside each other, since no
cell writes what another reads; or on a cluster. Last comes what is made from all cells.

Run: make sweep JOBS=2, or python -m adarank.commands.sweep --jobs 2 [--where ray]
"""

import asyncio
import signal
from typing import Annotated

import typer
from rich.console import Console

from adarank.commands.sweep.graph import Graph, read_graph
from adarank.commands.sweep.outcome import Failure, Outcome
from adarank.commands.sweep.parts import Cut
from adarank.commands.sweep.phases import run_after, run_cells, run_common
from adarank.commands.sweep.places import Kind, Options, place
from adarank.commands.sweep.show import board, show_failure, show_outcomes
from adarank.commands.sweep.where import Where
from adarank.pipeline.clusters.base import Resources
from adarank.pipeline.console.reporting import say, telling_errors

INTERRUPTED = 130
"""What a shell's command exits with that Ctrl-C ended."""

Jobs = Annotated[int, typer.Option(min=1, help="How many cells run here at a time.")]
Place = Annotated[Kind, typer.Option("--where", help="Where cells run.")]
Cpus = Annotated[int, typer.Option(min=1, help="Of a cluster: cores, and threads, of a cell.")]
Gpus = Annotated[float, typer.Option(min=0, help="Of a cluster: GPUs of a cell; .5 shares one.")]
Retries = Annotated[int, typer.Option(min=0, help="How often a cell runs again if lost.")]
Autoscaled = Annotated[bool, typer.Option("--autoscaled", help="Machines come when asked for.")]
Runs = Annotated[
    int, typer.Option(min=0, help="Of a cluster: training runs a unit, at most; 0: a whole cell.")
]
Shares = Annotated[
    int,
    typer.Option(
        min=0, help="Of a cluster: units of a scoring by exact draws; 1: not cut; 0: scores here."
    ),
]

app = typer.Typer(add_completion=False)


@app.command()
def main(
    jobs: Jobs = 2,
    where: Place = Kind.local,
    cpus: Cpus = 1,
    gpus: Gpus = 0.0,
    retries: Retries = 3,
    autoscaled: Autoscaled = False,
    runs: Runs = 0,
    shares: Shares = 0,
) -> None:
    """Run what is missing of the study, cells side by side; exit code 1 if anything failed."""
    with telling_errors("sweep"):
        if where is Kind.local and (runs or shares):
            say("sweep: RUNS and SHARES are a cluster's, and change nothing here")
        options = Options(
            where, jobs, Resources(cpus, gpus, retries), autoscaled, Cut(runs, shares)
        )
        try:
            good = asyncio.run(_interruptible(options))
        except asyncio.CancelledError:
            say("sweep: stopped; what had finished is kept, nothing half-done is")
            say(f"  go on with: {options.command}")
            raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if good else 1)


async def sweep(graph: Graph, where: Where, console: Console) -> bool:
    """Run what is missing; returns whether all of it went well."""
    with board(console, len(graph.cells)) as shown:
        shown.say(f"{len(graph.cells)} cells, {where}")
        failures, outcomes = list[Failure](), dict[str, Outcome]()
        if where.runs_scoring and graph.scoring:
            needed = graph.needed_by(graph.scoring)
            failures += await run_common("what scoring needs", graph, needed, failures, shown)
            ready = graph.not_wanting(graph.scoring, {one.stage for one in failures})
            scoring = {stage: (stage,) for stage in where.scoring(ready, shown)}
            shown.expect(len(scoring))
            outcomes |= await run_cells(graph, scoring, failures, where, shown)
            failures += [one.failure for one in outcomes.values() if one.failure]
        failures += await run_common("what the cells share", graph, graph.common, failures, shown)
        cells = await run_cells(graph, graph.cells, failures, where, shown)
        after = await run_after(graph, failures, cells, shown)
    outcomes |= cells | after
    show_outcomes(console, outcomes)
    failures += [one.failure for one in (cells | after).values() if one.failure]
    for failure in failures:
        show_failure(console, failure)
    return not failures


async def _interruptible(options: Options) -> bool:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    graph = read_graph()
    with place(options, len(graph.cells)) as where:
        # Only now: whoever joins a cluster may set handlers of its own.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await sweep(graph, where, Console(stderr=True))


if __name__ == "__main__":
    app()
