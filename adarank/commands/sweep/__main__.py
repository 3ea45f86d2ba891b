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
from adarank.commands.sweep.phases import run_after, run_cells, run_common
from adarank.commands.sweep.places import Kind, Plan, place
from adarank.commands.sweep.show import board, show_failure, show_outcomes
from adarank.commands.sweep.where import Where
from adarank.pipeline.clusters.base import Share
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
) -> None:
    """Run what is missing of the study, cells side by side; exit code 1 if anything failed."""
    with telling_errors("sweep"):
        plan = Plan(where, jobs, Share(cpus, gpus, retries), autoscaled, runs)
        try:
            good = asyncio.run(_interruptible(plan))
        except asyncio.CancelledError:
            say("sweep: stopped; what had finished is kept, nothing half-done is")
            say(f"  go on with: {plan.command}")
            raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if good else 1)


async def sweep(graph: Graph, where: Where, console: Console) -> bool:
    """Run what is missing; returns whether all of it went well."""
    with board(console, len(graph.cells)) as shown:
        shown.say(f"{len(graph.cells)} cells, {where}")
        failures = await run_common(graph, shown)
        failed = [failure.stage for failure in failures]
        cells = await run_cells(graph, failed, where, shown)
        after = await run_after(graph, failed, cells, shown)
    outcomes = cells | after
    show_outcomes(console, outcomes)
    failures += [outcome.failure for outcome in outcomes.values() if outcome.failure]
    for failure in failures:
        show_failure(console, failure)
    return not failures


async def _interruptible(plan: Plan) -> bool:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    graph = read_graph()
    with place(plan, len(graph.cells)) as where:
        # Only now: whoever joins a cluster may set handlers of its own.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await sweep(graph, where, Console(stderr=True))


if __name__ == "__main__":
    app()
