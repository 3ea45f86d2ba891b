"""How flat is the landscape of plans around uniform, how steep, and which signal knows it?

    python -m bench.landscape --task TASK [--plans 40] [--budget 1] [--rate RATE] [--write]
        [--figure FILE.svg] [--output data/landscape/TASK] [--params params.yaml]

In the folder of a study whose model, data and scores are there (studies/landscape-llama.yaml says
how). Random plans of one budget are trained once each, uniform with several seeds that they
take in turn, all at one learning rate; a file a run, so that an interrupted bench goes on. A
surface linear in the square roots of the ranks is fitted to the validation losses, less uniform's
of the seed (adarank.allocation.surface). Then the plan that it calls best and its reverse
are trained.

Printed: the losses; how well the surface predicts plans left out; every signal's rank correlation
with the surface's weights; and how well each signal alone orders the random plans. With --write the
surface becomes data/scores/TASK/measured.parquet, which the strategy `measured` reads.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from scipy.stats import spearmanr

from adarank.allocation.surface import (
    Surface,
    as_scores,
    explained,
    fit_surface,
    resampled_weights,
)
from adarank.models.bias_norm import BIAS_NORM
from adarank.pipeline.artifacts.places import SCORES
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.tables import write_parquet
from bench.landscape_runs import (
    Ground,
    measured_plan,
    modules_table,
    open_ground,
    plan_of,
    random_plan,
    run_once,
)
from bench.landscape_signals import of_signals, shares_of_strategies

app = typer.Typer(add_completion=False)
Runs = list[dict[str, Any]]


@app.command()
def main(
    task: Annotated[str, typer.Option(help="The study's task.")],
    plans: Annotated[int, typer.Option(min=4, help="Random plans, one run each.")] = 40,
    seeds: Annotated[int, typer.Option(min=2, help="Runs of uniform.")] = 5,
    checks: Annotated[int, typer.Option(min=0, help="Seeds of best and reversed plan.")] = 3,
    budget: Annotated[float, typer.Option(help="Average rank.")] = 1.0,
    most: Annotated[float, typer.Option(help="Highest rank over the budget.")] = 3.0,
    rate: Annotated[float | None, typer.Option(help="Learning rate; else the study's.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the measured scores.")] = False,
    figure: Annotated[Path | None, typer.Option(help="An SVG to draw.")] = None,
    output: Annotated[Path | None, typer.Option(help="Gets a file a run.")] = None,
    params: ParamsFile = PARAMS_FILE,
) -> None:
    """Train random plans around uniform and print what their losses say."""
    with reporting("bench-landscape"):
        folder = output or Path("data/landscape") / task
        ground = open_ground(params, task, rate, folder, budget=budget, most=most)
        modules, highest = ground.modules, max(1, round(most * budget))
        uniform = [
            run_once(ground, plan_of(modules, budget), seed, folder / f"uniform-seed-{seed}.json")
            for seed in range(seeds)
        ]
        drawn = [
            run_once(
                ground,
                random_plan(modules, number, budget, highest),
                number % seeds,
                folder / f"random-{number}.json",
            )
            for number in range(plans)
        ]
        surface = fit_surface(ranks_of(drawn), beyond_uniform(uniform, drawn, "validation"))
        checked = {
            name: [
                run_once(
                    ground,
                    measured_plan(modules, surface, budget, name, highest),
                    seed,
                    folder / f"{name}-of-{plans}-seed-{seed}.json",
                )
                for seed in range(checks)
            ]
            for name in ("measured", "reversed_measured")
        }
        show(task, ground, surface, uniform, drawn, checked)
        if write:
            write_measured(task, ground, surface, drawn, highest, uniform)
        if figure is not None:
            from bench.landscape_figure import draw

            groups = {"uniform": uniform, "random": drawn, **checked}
            on_test = {name: losses(runs) for name, runs in groups.items() if runs}
            draw(task, on_test, beyond_uniform(uniform, drawn, "test"), surface, figure)


def losses(runs: Runs, split: str = "test") -> NDArray[np.float64]:
    """The loss of every run on a split."""
    return np.array([run[split]["loss"] for run in runs])


def ranks_of(runs: Runs) -> pd.DataFrame:
    """A row a run, a column a module."""
    return pd.DataFrame([run["ranks"] for run in runs])


def beyond_uniform(uniform: Runs, runs: Runs, split: str) -> NDArray[np.float64]:
    """How far every run's loss is from that of uniform with the same seed."""
    reference = {run["seed"]: run[split]["loss"] for run in uniform}
    return np.array([run[split]["loss"] - reference[run["seed"]] for run in runs])


def show(
    task: str,
    ground: Ground,
    surface: Surface,
    uniform: Runs,
    drawn: Runs,
    checked: dict[str, Runs],
) -> None:
    """Print the tables."""
    measured = summary_of(surface, uniform, drawn, checked)
    typer.echo("\n".join(f"{name}: {value}" for name, value in measured.items()))
    about = modules_table(ground.modules).sort_values("module", ignore_index=True)
    costs = about["parameters_per_rank"].to_numpy(dtype=np.float64)
    ranks, apart = ranks_of(drawn), beyond_uniform(uniform, drawn, "validation")
    ranks = pd.DataFrame({name: ranks[name] for name in surface.modules})
    resampled = resampled_weights(ranks, apart, surface.ridge)
    worths: Any = about.assign(
        weight=surface.weights, error=resampled.std(axis=0), per_parameter=surface.weights / costs
    )
    columns = ["module", "weight", "error", "per_parameter"]
    worths = worths[columns].sort_values("per_parameter", ascending=False)
    typer.echo(worths.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    spent = float(np.mean([run["parameters"] for run in uniform]) / costs.sum())
    shares = shares_of_strategies(about, task, spent)
    each = ranks.to_numpy(dtype=np.float64)
    table = of_signals(shares, surface, resampled, costs, each, apart)
    typer.echo(table.to_string(index=False, float_format=lambda x: f"{x:.2f}"))


def summary_of(
    surface: Surface, uniform: Runs, drawn: Runs, checked: dict[str, Runs]
) -> dict[str, str]:
    """Put the losses, and how well the surface predicts them, into words."""
    found: dict[str, str] = {}
    for name, runs in {"uniform": uniform, "random plans": drawn, **checked}.items():
        if runs:
            on_test = losses(runs)
            found[name] = (
                f"{len(runs)} runs, test loss {on_test.mean():.4f}, sd {on_test.std(ddof=1):.4f}, "
                f"{on_test.min():.4f} to {on_test.max():.4f}"
            )
            seconds = np.median([run["seconds"] for run in runs])
            apart = beyond_uniform(uniform, runs, "test")
            found[name] += (
                f"; less uniform's of the seed {apart.mean():+.4f}; {seconds:.1f} s a run"
            )
    for split in ("validation", "test"):
        apart = beyond_uniform(uniform, drawn, split)
        order: Any = spearmanr(surface.left_out, apart)
        share = explained(apart, surface.left_out)
        found[f"left-out plans, {split}"] = (
            f"R2 {share:.2f}, Spearman {order.statistic:.2f} (surface fitted on validation)"
        )
    return found


def write_measured(
    task: str, ground: Ground, surface: Surface, drawn: Runs, most: int, uniform: Runs
) -> None:
    """Write the surface as the signal `measured`, with what its runs cost."""
    about = modules_table(ground.modules).drop(columns=["trial", "score"])
    runs = [*drawn, *uniform]
    note = {
        "signal": "measured",
        "estimator": f"a surface over {len(drawn)} plans",
        "model_sha256": ground.about["model"],
        BIAS_NORM: asdict(ground.bias_norm),
        "runs": len(runs),
        "steps": ground.settings.steps,
    }
    path = SCORES / task / "measured.parquet"
    write_parquet(path, as_scores(surface, about, most), note)
    seconds = sum(run["seconds"] for run in runs)
    say(f"{path}: {len(runs)} runs of {ground.settings.steps} steps, {seconds:.0f} s")


if __name__ == "__main__":
    app()
