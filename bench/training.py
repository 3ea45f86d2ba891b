"""Fine-tuning against transformers' plain Trainer with PEFT, on the same work, side by side.

    python -m bench.training [--json] [--quick] [--model FOLDER] [--texts CSV] [--plan uniform]

Both train the same plan of exactly the same parameters with the same rows in the same batches, from
the same first weights, with AdamW and the same rate, on one thread, the pretrained model's own
dropout off in both. They take turns, the order changing each round, and what is compared is the
processor's time (on a GPU the wall's), which other programs on the machine disturb less.

The texts are the built-in questions, or a CSV with the columns `text` and `label_coarse` (TREC).

The figures of --json, medians over the rounds:

- speedup: the plain Trainer's time / ours, same plan and same batches; ours holds the check of the
  shortcuts, which every run makes.
- loss_error: the largest relative difference between the losses of any step of the two.
- steps_per_second, rows_per_second: ours; plain_steps_per_second, plain_rows_per_second: theirs.
- own_order_speedup: the same against the plain Trainer as most people run it, with rows in random
  order, so that short texts are padded to long ones. The same number of rows, other losses.
- against_uniform: the plain Trainer at uniform ranks of equal parameters / ours with the plan.
- prefix: whether the frozen prefix's stored outputs were used; prefix_seconds: what storing took,
  once for all runs of a cell and not counted in ours. last_row: whether the last block computed
  only the rows that the head reads.
"""

import json
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.console.reporting import reporting, say
from bench.training_runs import Effort, Run, Subject, in_turns, make_subject

QUICK = Effort(steps=4, rounds=1)
app = typer.Typer(add_completion=False)
AsJson = Annotated[bool, typer.Option("--json", help="One line of figures; the table to stderr.")]
Quick = Annotated[bool, typer.Option("--quick", help="One round of four steps.")]
Folder = Annotated[Path, typer.Option("--model", help="A model folder.")]
Texts = Annotated[Path | None, typer.Option(help="A CSV: text, label_coarse; else questions.")]
PlanName = Annotated[str, typer.Option("--plan", help="uniform, mlp_only or last_K_blocks.")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds, of which medians are taken.")]
Steps = Annotated[int, typer.Option(min=2, help="Optimiser steps of each run.")]


@app.command()
def main(
    as_json: AsJson = False,
    quick: Quick = False,
    model: Folder = MODEL,
    texts: Texts = None,
    plan: PlanName = "uniform",
    rounds: Rounds = 5,
    steps: Steps = 20,
) -> None:
    """Measure how fast a plan is trained here and by the plain Trainer."""
    with reporting("bench-training"):
        torch.set_num_threads(1)
        effort = QUICK if quick else Effort(steps=steps, rounds=rounds)
        subject = make_subject(model, texts, plan, effort)
        say(f"bench: {len(subject.rows)} rows, {subject.tokens:.1f} tokens each, plan {plan}")
        runs = in_turns(subject, effort)
        figures = figures_of(subject, runs, effort)
        show(figures, runs, effort, aside=as_json)
        if as_json:
            typer.echo(json.dumps(figures))


def figures_of(subject: Subject, runs: dict[str, list[Run]], effort: Effort) -> dict[str, Any]:
    """Compute the figures of --json from the rounds of each method."""
    seconds = {name: median([run.seconds for run in of_name]) for name, of_name in runs.items()}
    ours, plain = seconds["adarank"], seconds["plain"]
    rows = effort.steps * effort.batch_size
    figures = {
        "speedup": plain / ours,
        "loss_error": _loss_error(runs),
        "steps_per_second": effort.steps / ours,
        "rows_per_second": rows / ours,
        "plain_steps_per_second": effort.steps / plain,
        "plain_rows_per_second": rows / plain,
        "own_order_speedup": seconds["plain, own order"] / ours,
        "against_uniform": seconds.get("plain, uniform", plain) / ours,
        "prefix_seconds": subject.prefix_seconds,
    }
    rounded: dict[str, Any] = {name: float(f"{value:.4g}") for name, value in figures.items()}
    return rounded | {"prefix": subject.prefix, "last_row": subject.last_row}


def show(
    figures: dict[str, Any], runs: dict[str, list[Run]], effort: Effort, *, aside: bool
) -> None:
    """Print a row a method, and the figures; to standard error if `aside`."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("method", "seconds a step", "steps/s", "rows/s", "last loss"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, of_name in runs.items():
        step = median([run.seconds for run in of_name]) / effort.steps
        loss = of_name[0].losses[-1]
        cells = (f"{step:.4f}", f"{1 / step:.2f}", f"{effort.batch_size / step:.1f}", f"{loss:.6f}")
        table.add_row(name, *cells)
    console = Console(stderr=aside)
    console.print(table, *(f"{name}: {value}" for name, value in figures.items()), sep="\n")


def _loss_error(runs: dict[str, list[Run]]) -> float:
    pairs = [
        (mine, theirs)
        for one, other in zip(runs["adarank"], runs["plain"], strict=True)
        for mine, theirs in zip(one.losses, other.losses, strict=True)
    ]
    return max(abs(mine - theirs) / abs(theirs) for mine, theirs in pairs)


if __name__ == "__main__":
    app()
