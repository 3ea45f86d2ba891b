"""SortNet on LETOR, beside its control, a linear RankSVM and LightGBM's LambdaMART.

    python -m bench.letor FOLDER [--seeds 5] [--json] [--figure FILE.svg] [--cache FOLDER]

FOLDER holds train and test as parquet (relevance, qid, f1 ...) or as LETOR's own text (svmlight
with qid:). Where there is no vali.txt, a quarter of the training queries is held out, other ones
with every seed. Every method is fitted with four settings; the one with the best MAP on the
validation part is measured, once, on test. Metrics follow LETOR's evaluation: NDCG without
discount at the second place, and queries without relevant documents count as zero.

A method's number is its mean over seeds and test queries; its interval resamples the queries.
Differences from SortNet are paired by query (means over seeds), tested by sign flips, and
corrected by Holm over the methods and metrics shown. Needs the extra `letor`.
"""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from adarank.comparison.significance import holm, sign_flip_p
from adarank.ordering.metrics import by_list, list_metric, ranked_by
from adarank.pipeline.console.reporting import say, telling_errors
from bench.letor_data import Part, carve, read
from bench.letor_figure import draw
from bench.letor_models import ACTIVE, LAMBDAMART, METHODS, fits

Floats = NDArray[np.float64]
METRICS = ("map", "ndcg@1", "ndcg@3", "ndcg@5", "ndcg@10", "p@1", "p@3", "p@5", "p@10")
TESTED = ("map", "ndcg@10")
HELD_OUT = 0.25
RESAMPLES = 5000

app = typer.Typer(add_completion=False)
Folder = Annotated[Path, typer.Argument(help="train and test, as parquet or LETOR's text.")]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds.")]
AsJson = Annotated[bool, typer.Option("--json", help="Figures to stdout; the table to stderr.")]
Figure = Annotated[Path | None, typer.Option(help="Draw the metric against pairs: an SVG.")]
Cache = Annotated[Path | None, typer.Option(help="Keeps each seed's results, to go on from.")]


@app.command()
def main(
    folder: Folder,
    seeds: Seeds = 5,
    as_json: AsJson = False,
    figure: Figure = None,
    cache: Cache = None,
) -> None:
    """Compare SortNet with other ways of learning to rank."""
    with telling_errors("bench-letor"):
        torch.set_num_threads(1)
        parts = read(folder)
        results = [_seed(parts, seed, cache) for seed in range(seeds)]
        figures = summarize(results, parts)
        _show(figures, as_json)
        if figure is not None:
            draw([one["curves"] for one in results], figure)
        if as_json:
            typer.echo(json.dumps(figures))


def run_seed(parts: Mapping[str, Part], seed: int) -> dict[str, Any]:
    """Tune every method on the validation part, and measure its best setting on test.

    Returns:
        methods: for each, settings, validation, seconds (of all settings), and by metric a
        value per test query. curves: SortNet's and its control's validation by pairs. sort:
        comparisons of the kept comparator on the training lists, and n log2 n.
    """
    if "vali" in parts:
        training, validation = parts["train"], parts["vali"]
    else:
        training, validation = carve(parts["train"], HELD_OUT, seed)
    best: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    curves: dict[str, Any] = {}
    total = sum(len(grid) for grid, _ in METHODS.values())
    say(f"bench: seed {seed}, {total} fits")
    found = fits(training, validation, seed, _available())
    console = Console(stderr=True)
    for name, fit in track(found, f"seed {seed}", total, console=console):
        seconds[name] = seconds.get(name, 0.0) + fit.seconds
        if fit.history and name not in curves:
            curves[name] = [(one.pairs, one.validation) for one in fit.history]
        if name not in best or fit.validation > best[name].validation:
            best[name] = fit
    lengths = [len(rows) for rows in training.places]
    kept = max(best[ACTIVE].history, key=lambda one: one.validation)
    return {
        "methods": {
            name: {
                "settings": dict(fit.settings),
                "validation": fit.validation,
                "seconds": seconds[name],
                "values": _values(fit.scores(parts["test"]), parts["test"]),
            }
            for name, fit in best.items()
        },
        "curves": curves,
        "sort": {
            "comparisons": kept.comparisons,
            "n_log2_n": float(sum(n * np.log2(n) for n in lengths)),
            "pairs": kept.pairs,
            "unequal_pairs": training.unequal_pairs,
        },
    }


def summarize(results: Sequence[Mapping[str, Any]], parts: Mapping[str, Part]) -> dict[str, Any]:
    """Average over seeds and queries, with intervals over queries and paired tests."""
    names = [*results[0]["methods"]]
    values = {
        (name, metric): np.mean([one["methods"][name]["values"][metric] for one in results], axis=0)
        for name in names
        for metric in METRICS
    }
    tests = {
        (name, metric): values[ACTIVE, metric] - values[name, metric]
        for name in names
        if name != ACTIVE
        for metric in TESTED
    }
    ps = holm([sign_flip_p(difference.tolist()) for difference in tests.values()])
    sorts = [one["sort"] for one in results]
    return {
        "seeds": len(results),
        "test_queries": len(parts["test"].places),
        "methods": {
            name: {
                metric: [float(values[name, metric].mean()), *_interval(values[name, metric])]
                for metric in METRICS
            }
            | {"seconds_per_fit": _seconds(results, name)}
            for name in names
        },
        "sortnet_minus": {
            f"{name}: {metric}": [float(one.mean()), *_interval(one), p]
            for ((name, metric), one), p in zip(tests.items(), ps, strict=True)
        },
        "sort": {key: float(np.mean([one[key] for one in sorts])) for key in sorts[0]},
    }


def _available() -> Mapping[str, Any]:
    try:
        import lightgbm  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        say("bench: LightGBM is not installed and left out; pip install 'adarank[letor]'")
        return {name: method for name, method in METHODS.items() if name != LAMBDAMART}
    return METHODS


def _seed(parts: Mapping[str, Part], seed: int, cache: Path | None) -> dict[str, Any]:
    kept = cache / f"seed-{seed}.pickle" if cache else None
    if kept is not None and kept.exists():
        return pickle.loads(kept.read_bytes())
    result = run_seed(parts, seed)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(result))
    return result


def _values(scores: Floats, part: Part) -> dict[str, list[float]]:
    ranked = [ranked_by(scores[rows], part.grades[rows]) for rows in part.places]
    return {name: by_list(list_metric(name), ranked) for name in METRICS}


def _interval(values: Floats) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _seconds(results: Sequence[Mapping[str, Any]], name: str) -> float:
    grid = len(METHODS[name][0])
    return float(np.mean([one["methods"][name]["seconds"] for one in results])) / grid


def _show(figures: Mapping[str, Any], aside: bool) -> None:
    console = Console(stderr=aside)
    if not console.is_terminal:
        console.width = 130
    table = Table(box=box.SIMPLE_HEAD, title="test, mean over seeds and queries")
    for column in ("method", *METRICS, "s per fit"):
        table.add_column(column, no_wrap=True)
    for name, row in figures["methods"].items():
        cells = [f"{row[metric][0]:.3f}" for metric in METRICS]
        table.add_row(name, *cells, f"{row['seconds_per_fit']:.1f}")
    paired = Table(box=box.SIMPLE_HEAD, title="SortNet minus the other, paired by query")
    for column in ("other: metric", "difference", "95 % interval", "p (Holm)"):
        paired.add_column(column, no_wrap=True)
    for name, (mean, low, high, p) in figures["sortnet_minus"].items():
        paired.add_row(name, f"{mean:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{p:.3f}")
    console.print(table, paired, figures["sort"])


if __name__ == "__main__":
    app()
