"""Which module matters more, learned from weights alone: SortNet on models it has not seen.

    python -m bench.module_order FOLDER FOLDER FOLDER ... [--trials 4] [--cache FOLDER] [--json]

Each FOLDER is a model in Hugging Face's format (see `bench.module_scores` for its probe). Every
model in turn is left out: the methods learn from the others' exact disagreement and order the
modules of the one left out, from features that need no forward. All orders become shares by the
same profile, the training models' mean share by place, so that only the order counts.

- Spearman: of the order with exact disagreement. `two halves`: of two halves of its own trials,
  about the most that any method can reach.
- NDCG: LETOR's, over all modules, in five grades of equal size.
- distance: total variation between the shares and exact's; `uniform` is equal shares.

Depth alone and stable rank alone are used in the direction that fits the training models.
Needs the extra `letor`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from adarank.ordering.estimator import SortNet
from adarank.ordering.learned import shares_by_place
from adarank.ordering.metrics import ndcg, ranked_by
from adarank.pipeline.console.reporting import say, telling_errors
from bench.agreement import spearman, total_variation
from bench.module_scores import Scored, scored

Floats = NDArray[np.float64]
GRADES = 5
SEEDS = range(5)
HELD_OUT = 0.25
SORTNET_SETTINGS: Mapping[str, Any] = {
    "hidden": 10,
    "iterations": 20,
    "epochs": 20,
    "learning_rate": 0.003,
    "weight_decay": 1e-3,
    "metric": "concordance",
    "ranking": "wins",
}
DEPTH, STABLE, LINEAR, TREES, SORTNET = (
    "depth alone",
    "stable rank alone",
    "ridge regression",
    "LightGBM",
    "SortNet",
)

app = typer.Typer(add_completion=False)
Folders = Annotated[list[Path], typer.Argument(help="Model folders, at least three.")]
Trials = Annotated[int, typer.Option(min=2, help="Trials of the exact score.")]
Cache = Annotated[Path, typer.Option(help="Keeps each model's features and scores.")]
AsJson = Annotated[bool, typer.Option("--json", help="Figures to stdout; the table to stderr.")]


@app.command()
def main(
    folders: Folders,
    trials: Trials = 4,
    cache: Cache = Path("data/module-scores"),
    as_json: AsJson = False,
) -> None:
    """Leave one model out: order its modules from weights alone."""
    with telling_errors("bench-module-order"):
        torch.set_num_threads(1)
        models: list[Scored] = []
        for folder in folders:
            say(f"bench: features and exact scores of {folder.name}")
            models.append(scored(folder, cache, trials))
        figures = {model.name: left_out(model, models) for model in models}
        _show(figures, as_json)
        if as_json:
            typer.echo(json.dumps(figures))


def left_out(model: Scored, models: Sequence[Scored]) -> dict[str, Any]:
    """Learn from all models but one, and measure every method on that one."""
    training = [other for other in models if other is not model]
    profile = profile_of(training)
    grades = _grades(model.shares)
    found: dict[str, Any] = {}
    for name, method in METHODS.items():
        runs = [method(training, model, seed) for seed in (SEEDS if name == SORTNET else [0])]
        measured = [_measured(scores, model, grades, profile) for scores in runs]
        found[name] = {key: _mean_sd([one[key] for one in measured]) for key in measured[0]}
    equal = np.ones(len(model.shares))
    halves = model.trials[:, ::2].mean(1), model.trials[:, 1::2].mean(1)
    return {
        "modules": len(model.shares),
        "feature_seconds": model.feature_seconds,
        "score_seconds": model.score_seconds,
        "two_halves": spearman(*halves),
        "uniform_distance": total_variation(equal, model.shares),
        "methods": found,
    }


def _alone(
    signal: Callable[[pd.DataFrame], Floats],
) -> Callable[[Sequence[Scored], Scored, int], Floats]:
    def method(training: Sequence[Scored], model: Scored, seed: int) -> Floats:
        del seed
        agreement = [spearman(signal(one.features), one.shares) for one in training]
        return signal(model.features) * (1 if np.mean(agreement) >= 0 else -1)

    return method


def _stable_rank(features: pd.DataFrame) -> Floats:
    """The stable rank itself: the feature is its share of the most it could be."""
    most = np.exp(features[["log_in", "log_out"]].min(axis=1))
    return (features["stable_rank"] * most).to_numpy(dtype=np.float64)


def _regression(make: Callable[[int], Any]) -> Callable[[Sequence[Scored], Scored, int], Floats]:
    def method(training: Sequence[Scored], model: Scored, seed: int) -> Floats:
        items, logs, _ = stacked(training)
        return np.asarray(make(seed).fit(items, logs).predict(_items(model)))

    return method


def fit_sortnet(training: Sequence[Scored], seed: int) -> SortNet:
    """Train a comparator on some models' modules.

    A quarter of every model's modules validates: a whole model is too much to lose where there
    are so few.
    """
    items, logs, groups = stacked(training)
    held_out = np.random.default_rng(seed).random(len(items)) < HELD_OUT
    validation = (items[held_out], logs[held_out], groups[held_out])
    net = SortNet(**SORTNET_SETTINGS, random_state=seed)
    return net.fit(items[~held_out], logs[~held_out], groups[~held_out], validation=validation)


def _sortnet(training: Sequence[Scored], model: Scored, seed: int) -> Floats:
    return fit_sortnet(training, seed).predict(_items(model))


METHODS: Mapping[str, Callable[[Sequence[Scored], Scored, int], Floats]] = {
    DEPTH: _alone(lambda features: features["depth"].to_numpy(dtype=np.float64)),
    STABLE: _alone(_stable_rank),
    LINEAR: _regression(
        lambda _: make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-2, 3, 12)))
    ),
    TREES: _regression(
        lambda seed: LGBMRegressor(
            n_estimators=100,
            num_leaves=7,
            learning_rate=0.05,
            min_child_samples=10,
            random_state=seed,
            n_jobs=1,
            verbose=-1,
        )
    ),
    SORTNET: _sortnet,
}


def _items(model: Scored) -> Floats:
    return model.features.to_numpy(dtype=np.float64)


def stacked(models: Sequence[Scored]) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Features, log disagreement less the model's mean, and which model each row is of."""
    logs = [np.log(model.shares) for model in models]
    return (
        np.concatenate([_items(model) for model in models]),
        np.concatenate([one - one.mean() for one in logs]),
        np.repeat(np.arange(len(models)), [len(one) for one in logs]),
    )


def profile_of(models: Sequence[Scored], points: int = 101) -> Floats:
    """The mean, over models, of shares in descending order, as multiples of an equal share."""
    at = np.linspace(0, 1, points)
    curves = []
    for model in models:
        descending = np.sort(model.shares)[::-1] * len(model.shares)
        curves.append(np.interp(at, np.linspace(0, 1, len(descending)), descending))
    return np.mean(curves, axis=0)


def _measured(scores: Floats, model: Scored, grades: Floats, profile: Floats) -> dict[str, float]:
    shares = shares_by_place(scores, profile)
    found = ndcg(ranked_by(scores, grades))
    assert found is not None
    return {
        "spearman": spearman(scores, model.shares),
        "ndcg": found,
        "distance": total_variation(shares, model.shares),
    }


def _grades(shares: Floats) -> Floats:
    return np.floor((rankdata(shares, method="ordinal") - 1) * GRADES / len(shares))


def _mean_sd(values: Sequence[float]) -> list[float]:
    return [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0]


def _show(figures: Mapping[str, Any], aside: bool) -> None:
    console = Console(stderr=aside)
    if not console.is_terminal:
        console.width = 130
    shown = (
        ("spearman", "Spearman", "two_halves"),
        ("ndcg", "NDCG", None),
        ("distance", "distance", "uniform_distance"),
    )
    for key, title, beside in shown:
        table = Table(box=box.SIMPLE_HEAD, title=f"{title}, on the model left out")
        for column in ("model", "modules", *METHODS, *([beside] if beside else [])):
            table.add_column(column, no_wrap=True)
        for name, row in figures.items():
            cells = [_cell(*row["methods"][method][key]) for method in METHODS]
            last = [f"{row[beside]:.3f}"] if beside else []
            table.add_row(name, str(row["modules"]), *cells, *last)
        console.print(table)


def _cell(mean: float, sd: float) -> str:
    return f"{mean:.3f} ± {sd:.3f}" if sd else f"{mean:.3f}"


if __name__ == "__main__":
    app()
