"""Runs trained at once against as many one after another, in turns in one process.

    python -m bench.together [--json] [--quick] [--model FOLDER] [--small] [--texts CSV] [--runs 4]

Every run trains the same plan at an average rank of 1 from the same first weights, the pretrained
model's own dropout off, on one thread; what is compared is the processor's time (on a GPU the
wall's) of a run's step. Building models and looks at validation (one row) are not what is compared.

The methods, whose order changes each round:

- alone: the pipeline's trainer, one run after another.
- 1 at once: the same run in the loop of several, so what that loop saves is not taken for a gain.
- K at once, one seed: equal batches, as when a cell's learning rates are tried.
- K at once, own seeds: each run its own order of rows, so batches of several lengths.

The figures of --json: seconds of a run's step by method, speedups over alone, and loss_error: the
largest relative difference of any step's loss from the same run alone.
"""

import json
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from transformers import AutoModel, BertConfig

from adarank.pipeline.artifacts.model import load_tokenizer
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.console.reporting import reporting, say
from adarank.tuning.loop.watch import Trained
from adarank.tuning.shortcuts.shortcuts import PrefixStore, shortcuts
from adarank.tuning.together.runs import Run as Part
from adarank.tuning.together.stacking import carry
from adarank.tuning.together.training import train_together
from adarank.tuning.tuners.base import During
from bench.training_runs import Effort, Run, Subject, attached, make_subject, now, ours, settings_of

QUICK = Effort(steps=3, rounds=1)
app = typer.Typer(add_completion=False)
AsJson = Annotated[bool, typer.Option("--json", help="One line of figures; the table to stderr.")]
Quick = Annotated[bool, typer.Option("--quick", help="One round of three steps.")]
Folder = Annotated[Path, typer.Option("--model", help="A model folder.")]
Small = Annotated[bool, typer.Option("--small", help="A random BERT: hidden 128, 2 blocks.")]
Texts = Annotated[Path | None, typer.Option(help="A CSV: text, label_coarse; else questions.")]
Runs = Annotated[list[int], typer.Option("--runs", min=2, help="How many at once; repeat it.")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds, of which medians are taken.")]
Steps = Annotated[int, typer.Option(min=2, help="Optimiser steps of each run.")]


@dataclass(frozen=True)
class Method:
    """One way to train: how many runs, and their times a round."""

    count: int
    run: Callable[[], Run]


@app.command()
def main(
    as_json: AsJson = False,
    quick: Quick = False,
    model: Folder = MODEL,
    small: Small = False,
    texts: Texts = None,
    runs: Runs = [4, 16],  # noqa: B006 -- typer's form of a default list
    rounds: Rounds = 3,
    steps: Steps = 10,
) -> None:
    """Measure a run's step, alone and with others at once."""
    scratch = tempfile.TemporaryDirectory() if small else nullcontext("")
    with reporting("bench-together"), scratch as folder:
        torch.set_num_threads(1)
        effort = QUICK if quick else Effort(steps=steps, rounds=rounds)
        place = small_model(model, Path(folder)) if small else model
        subject = make_subject(place, texts, "uniform", effort)
        say(f"bench: {len(subject.rows)} rows, {subject.tokens:.1f} tokens each")
        found = in_turns(methods(subject, effort, runs), effort)
        figures = figures_of(found, effort)
        show(figures, aside=as_json)
        if as_json:
            typer.echo(json.dumps(figures))


def methods(subject: Subject, effort: Effort, runs: list[int]) -> dict[str, Method]:
    """List what takes turns, by name."""
    found = {
        "alone": Method(1, lambda: ours(subject, effort, PrefixStore(limit_gb=0))),
        "1 at once": Method(1, lambda: at_once(subject, effort, [0])),
    }
    for count in runs:
        same, own = [0] * count, list(range(count))
        found[f"{count} at once, one seed"] = Method(
            count, lambda seeds=same: at_once(subject, effort, seeds)
        )
        found[f"{count} at once, own seeds"] = Method(
            count, lambda seeds=own: at_once(subject, effort, seeds)
        )
    return found


def at_once(subject: Subject, effort: Effort, seeds: list[int]) -> Run:
    """Train runs at once; gives the time of all, and the losses of the first, of seed 0."""
    settings = settings_of(effort)
    models = [attached(subject, subject.build()[0], subject.plan) for _ in seeds]
    headed, modules = subject.build()
    plan = subject.plans[subject.plan]
    carrier = carry(headed, plan, models, subject.task, settings.device)
    assert not isinstance(carrier, str), carrier
    parts = [Part(m, seed, settings, During()) for m, seed in zip(models, seeds, strict=True)]
    rows, store = subject.rows, PrefixStore(limit_gb=0)
    with shortcuts(carrier.model, modules, subject.task, rows, store, device=settings.device):
        began = now()
        outcomes = train_together(carrier, parts, subject.task, rows, rows[:1])
        seconds = now() - began
    first = outcomes[0]
    assert isinstance(first, Trained)
    return Run(seconds, first.curve["train_loss"].tolist())


def in_turns(found: dict[str, Method], effort: Effort) -> dict[str, tuple[int, list[Run]]]:
    """Run every method once a round, in an order that is turned round each time."""
    found["alone"].run()  # first-time allocations
    done: dict[str, list[Run]] = {name: [] for name in found}
    for turn in range(effort.rounds):
        for name in list(found)[:: -1 if turn % 2 else 1]:
            done[name].append(found[name].run())
    return {name: (found[name].count, runs) for name, runs in done.items()}


def figures_of(found: dict[str, tuple[int, list[Run]]], effort: Effort) -> dict[str, Any]:
    """Compute the figures of --json."""
    seconds = {
        name: median([run.seconds for run in runs]) / (count * effort.steps)
        for name, (count, runs) in found.items()
    }
    plain = found["alone"][1][0].losses
    errors = [
        abs(mine - theirs) / abs(theirs)
        for _, runs in found.values()
        for run in runs
        for mine, theirs in zip(run.losses, plain, strict=True)
    ]
    return {
        "seconds": {name: float(f"{value:.4g}") for name, value in seconds.items()},
        "speedup": {n: float(f"{seconds['alone'] / s:.3g}") for n, s in seconds.items()},
        "loss_error": float(f"{max(errors):.2g}"),
    }


def show(figures: dict[str, Any], *, aside: bool) -> None:
    """Print a row a method; to standard error if `aside`."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("method", "seconds a run's step", "against alone"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, seconds in figures["seconds"].items():
        table.add_row(name, f"{seconds:.4f}", f"{figures['speedup'][name]:.2f}")
    Console(stderr=aside).print(table, f"loss_error: {figures['loss_error']}")


def small_model(like: Path, folder: Path) -> Path:
    """Write a random BERT of hidden 128 and 2 blocks with the tokenizer of another model."""
    tokenizer = load_tokenizer(like)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
    )
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    app()
