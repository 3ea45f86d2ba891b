"""Is a plan in late blocks alone as good as uniform at equal parameters, and how much faster?

    python -m bench.late_plans --task TASK [--plan last_3_blocks] [--rates .002,.004,.008]
        [--seeds 3] [--margin 0.005] [--output data/late_plans/TASK] [--params params.yaml]

In the folder of a study whose model and data are there, as for bench.landscape. Both plans are
trained in turns in one process, with every shortcut and the pretrained model's own dropout off; a
file a run. Each plan's rate is the one whose mean loss on validation is lowest. What is compared is
the headline metric on test by two one-sided paired t tests with a margin that was set beforehand,
and the processor's seconds of training. What storing a prefix took, once for all runs of a plan, is
printed apart.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer

from adarank.allocation.plan import RankPlan
from adarank.comparison.significance import equivalence_p, estimate
from adarank.models.modules import find_modules
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import read_json, write_json
from adarank.tuning.loop.training import train
from adarank.tuning.lora import attach
from adarank.tuning.prediction import predict
from adarank.tuning.shortcuts.dropout import without_dropout
from adarank.tuning.shortcuts.shortcuts import PrefixStore, shortcuts
from bench.landscape_runs import Ground, open_ground, plan_of

LEVEL = 0.05

app = typer.Typer(add_completion=False)


@app.command()
def main(
    task: Annotated[str, typer.Option(help="The study's task.")],
    plan: Annotated[str, typer.Option(help="Compared with uniform.")] = "last_3_blocks",
    rates: Annotated[str, typer.Option(help="Learning rates, by commas.")] = "0.004,0.002,0.008",
    seeds: Annotated[int, typer.Option(min=2, help="Runs of each plan and rate.")] = 3,
    budget: Annotated[float, typer.Option(help="Average rank.")] = 1.0,
    margin: Annotated[float, typer.Option(help="In the headline metric's unit.")] = 0.005,
    output: Annotated[Path | None, typer.Option(help="Gets a file a run.")] = None,
    params: ParamsFile = PARAMS_FILE,
) -> None:
    """Train both plans and print their losses, seconds and whether they are equivalent."""
    with reporting("bench-late-plans"):
        folder = output or Path("data/late_plans") / task
        ground = open_ground(params, task, None, folder, budget=budget)
        plans = {name: plan_of(ground.modules, budget, name) for name in ("uniform", plan)}
        stores = {name: PrefixStore() for name in plans}
        rows = [
            {"plan": name, "rate": rate, "seed": seed}
            | _once(ground, one, rate, seed, stores[name], folder / f"{name}-{rate}-{seed}.json")
            for rate in map(float, rates.split(","))
            for seed in range(seeds)
            for name, one in plans.items()
        ]
        show(pd.DataFrame(rows), plan, margin, ground.task.headline)


def _once(
    ground: Ground, plan: RankPlan, rate: float, seed: int, store: PrefixStore, path: Path
) -> dict[str, Any]:
    """Train and measure a plan, unless its file is there."""
    if path.exists():
        return read_json(path)
    task, rows, settings = ground.task, ground.rows, replace(ground.settings, learning_rate=rate)
    headed = task.build(MODEL, seed)
    without_dropout(headed.model)
    modules = find_modules(headed.model)
    model = attach(headed, plan, peft_type=task.peft_type, dropout=0.0, seed=seed)
    began = time.process_time()
    # Rows that are only looked at, once at the end, are not worth storing for one run.
    with shortcuts(model, modules, task, rows["train"], store, device=settings.device):
        stored = time.process_time() - began
        began = time.process_time()
        train(model, task, rows["train"], rows["validation"][:1], settings, seed)
        seconds = time.process_time() - began
    found: dict[str, Any] = {"seconds": seconds, "set_up": stored, "parameters": plan.parameters}
    for split in ("validation", "test"):
        device = torch.device(settings.device)
        table = predict(model, task, rows[split], batch_size=32, device=device)
        measured = task.metrics(table)
        found |= {f"{split}_loss": measured["loss"], split: measured[task.headline]}
    write_json(path, found)
    say(f"{path.stem}: test {found['test']:.4f}, loss {found['test_loss']:.3f}, {seconds:.1f} s")
    return found


def show(runs: Any, plan: str, margin: float, headline: str) -> None:
    """Print a row a plan and rate, and the test of equivalence at each plan's best rate."""
    groups = runs.groupby(["rate", "plan"], sort=True)
    table = groups[["test", "test_loss", "validation_loss", "seconds", "set_up"]].mean()
    table["sd"] = groups["test"].std()
    typer.echo(table.to_string(float_format=lambda x: f"{x:.4f}"))
    losses = table["validation_loss"].unstack("plan")
    best = {name: losses[name].idxmin() for name in ("uniform", plan)}
    late, uniform = (
        runs[(runs["plan"] == n) & (runs["rate"] == best[n])].sort_values("seed")
        for n in (plan, "uniform")
    )
    typer.echo(verdict(late["test"].tolist(), uniform["test"].tolist(), margin, headline))
    seconds = uniform["seconds"].median() / late["seconds"].median()
    typer.echo(f"rates: {best}; {seconds:.2f} times faster to train")


def verdict(late: Sequence[float], uniform: Sequence[float], margin: float, headline: str) -> str:
    """State the paired difference, its interval, and the two one-sided tests."""
    differences = np.subtract(late, uniform).tolist()
    found, p = estimate(differences), equivalence_p(differences, margin)
    words = "Equivalent" if p <= LEVEL else "Not shown to be equivalent"
    interval = "" if found.low is None else f" ({found.low:+.4f} to {found.high:+.4f})"
    return (
        f"{headline}, less uniform's: {found.mean:+.4f}{interval}, {len(differences)} seeds. "
        f"{words} within {margin:g}: p {p:.3f} by two one-sided t tests."
    )


if __name__ == "__main__":
    app()
