"""Scoring, measured: the paper's loop, exact, linearized, and what others do, side by side.

    python -m bench.scoring [--json] [--quick] [--model FOLDER] [--device auto]

One thread, interleaved rounds, medians; only ratios within the run mean anything. All methods get
the same batches, sorted by length: what sorting alone saves is `padding_speedup`, apart.

The figures of --json, all on the default model unless said otherwise:

- exact_speedup: (time of the loop at 5 trials / time of exact at its default trials) times
  (squared relative standard error of the loop's mean / that of exact's), each averaged over
  modules. The errors come from one large matrix of draws per module; see bench.converged.
- exact_error: the largest relative difference, over modules and trials, between exact with
  pairs="disjoint" and the loop on the same draws.
- linearized_speedup: the loop at 5 trials / linearized at its default. The loop is timed on one
  trial and multiplied: its cost is a sum over trials.
- linearized_distance, linearized_spearman: total variation between shares, and rank correlation,
  of one default run and a converged exact score (all pairs of 80 draws); mean over the rounds'
  seeds.
- linearized_forwards: linearized's time per sketch, in forwards of the same batches; before norms
  came from the tokens, whole_gradients_forwards.
- corrected_distance, corrected_forwards: linearized corrected by few exact draws; bench.corrected.
- depth_growth: linearized's time at the last depth / at the first (24 / 6), random weights.
- mixed_lengths_spread: the largest over the smallest ratio of linearized to exact over modules, on
  last_hidden, with texts of 3 tokens in one batch and of 120 in another, at small noise; see
  bench.mixed_lengths.
- peak_memory_ratio: see bench.peak.
- padding_speedup: one forward of all texts in one batch / one forward of the sorted batches.
"""

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from adarank.pipeline.artifacts.model import pick_device
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.console.reporting import reporting, say
from adarank.scoring.estimators.linearized import Linearized
from bench.converged import converged
from bench.measure import (
    CORRECTED,
    EXACT,
    FORWARD,
    LINEARIZED,
    LOOP,
    WHOLE,
    WHOLE_GRADIENTS,
    Effort,
    Method,
    deep_methods,
    depth_times,
    exact_error,
    fewer,
    methods,
    timed_methods,
)
from bench.mixed_lengths import mixed_ratios
from bench.peak import peak_memory_ratio
from bench.show import show
from bench.subjects import Subject, pretrained, random_like

QUICK = Effort(rows=8, batch_size=4, dear=2, cheap=5, trials=10)
app = typer.Typer(add_completion=False)
AsJson = Annotated[bool, typer.Option("--json", help="One line of figures; the table to stderr.")]
Quick = Annotated[bool, typer.Option("--quick", help="Few texts and rounds: under two minutes.")]
Folder = Annotated[Path, typer.Option("--model", help="A model folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@app.command()
def main(
    as_json: AsJson = False, quick: Quick = False, model: Folder = MODEL, device: Device = "auto"
) -> None:
    """Measure the scorers against the paper's loop and against what others do."""
    with reporting("bench-scoring"):
        torch.set_num_threads(1)
        effort = QUICK if quick else Effort()
        subject = pretrained(model, effort.rows, effort.batch_size, pick_device(device))
        figures, tables = measure(subject, effort)
        show(figures, tables, subject, quick=quick, aside=as_json)
        if as_json:
            typer.echo(json.dumps(figures))


def measure(
    subject: Subject, effort: Effort
) -> tuple[dict[str, float], dict[str, dict[str, Method]]]:
    """Run everything.

    Returns:
        The figures of --json, and a table of methods for each model by its name.
    """
    say(f"bench: methods in turns on {subject.name}, {len(subject.modules)} modules")
    timed = timed_methods(subject, effort)
    say(f"bench: the converged score, {2 * effort.trials} draws a module")
    reference = converged(subject, effort.trials)
    rows = methods(timed, reference)
    say(f"bench: depths {', '.join(map(str, effort.depths))}, random weights")
    by_depth = depth_times(subject, effort)
    tables = {subject.name: rows}
    for depth in effort.depths[1:]:
        deep = random_like(subject, depth)
        tables[deep.name] = deep_methods(deep, by_depth[depth], fewer(reference), effort)
    first, last = effort.depths[0], effort.depths[-1]
    linear, mixed = rows[LINEARIZED], mixed_ratios(subject.model, subject.modules)
    figures = {
        "exact_speedup": rows[EXACT].equal_error,
        "exact_error": exact_error(subject, timed[LOOP]),
        "linearized_speedup": linear.speedup,
        "linearized_distance": linear.distance,
        "linearized_spearman": linear.order,
        "linearized_forwards": linear.forwards / Linearized().sketches,
        "whole_gradients_forwards": rows[WHOLE_GRADIENTS].forwards,
        "corrected_distance": rows[CORRECTED].distance,
        "corrected_forwards": rows[CORRECTED].forwards,
        "depth_growth": by_depth[last][LINEARIZED] / by_depth[first][LINEARIZED],
        "mixed_lengths_spread": mixed.highest / mixed.lowest,
        "peak_memory_ratio": peak_memory_ratio(subject),
        "padding_speedup": timed[WHOLE].median / timed[FORWARD].median,
    }
    return {key: _rounded(value) for key, value in figures.items()}, tables


def _rounded(value: float | None) -> float:
    assert value is not None
    return float(f"{value:.4g}")


if __name__ == "__main__":
    app()
