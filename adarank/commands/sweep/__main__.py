"""Bring the whole study up to date, its cells side by side; a cell that fails stops no other.

What the cells share comes first, in one command. Then each stale cell is a command a stage,
`dvc --wait-for-lock repro --single-item STAGE`, which DVC allows beside each other, since no cell
writes what another reads. Last comes what is made from all cells.

Run: make sweep JOBS=2, or python -m adarank.commands.sweep --jobs 2
"""

import asyncio
import os
import signal
from typing import Annotated

import typer
from rich.console import Console

from adarank.commands.sweep.graph import read_graph
from adarank.commands.sweep.phases import run_after, run_cells, run_common
from adarank.commands.sweep.share import cores, share, visible_gpus
from adarank.commands.sweep.show import board, show_failure, show_outcomes
from adarank.pipeline.console.reporting import say, telling_errors

INTERRUPTED = 130
"""What a shell's command exits with that Ctrl-C ended."""

Jobs = Annotated[int, typer.Option(min=1, help="How many cells run at a time.")]

app = typer.Typer(add_completion=False)


@app.command()
def main(jobs: Jobs = 2) -> None:
    """Run what is missing of the study, cells side by side; exit code 1 if anything failed."""
    with telling_errors("sweep"):
        try:
            good = asyncio.run(_interruptible(jobs))
        except asyncio.CancelledError:
            say("sweep: stopped; what had finished is kept, nothing half-done is")
            say(f"  go on with: make sweep JOBS={jobs}")
            raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if good else 1)


async def sweep(jobs: int, console: Console) -> bool:
    """Run what is missing; returns whether all of it went well."""
    graph = read_graph()
    shares = _shares(min(jobs, len(graph.cells)))
    with board(console, len(graph.cells)) as shown:
        shown.say(f"{len(graph.cells)} cells, {len(shares)} at a time; each gets {shares[0]}")
        failures = await run_common(graph, shown)
        failed = [failure.stage for failure in failures]
        cells = await run_cells(graph, failed, shares, shown)
        after = await run_after(graph, failed, cells, shown)
    outcomes = cells | after
    show_outcomes(console, outcomes)
    failures += [outcome.failure for outcome in outcomes.values() if outcome.failure]
    for failure in failures:
        show_failure(console, failure)
    return not failures


async def _interruptible(jobs: int) -> bool:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await sweep(jobs, Console(stderr=True))


def _shares(jobs: int) -> list[dict[str, str]]:
    gpus = visible_gpus(os.environ) if jobs > 1 else []
    return [share(worker, jobs, cores(), gpus, os.environ) for worker in range(jobs)]


if __name__ == "__main__":
    app()
