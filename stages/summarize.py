"""Bring the study's cells together: means, intervals, paired differences, figures' data."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from adarank.allocation.strategies.controls import form, meaning, original
from adarank.comparison.baseline import BaselineCheck, check_baseline
from adarank.comparison.caveats import Circumstances, caveats, costs
from adarank.comparison.cells import (
    Comparison,
    compare,
    comparisons,
    corrected,
    measured_on_test,
)
from adarank.comparison.pairs import Control, pairs
from adarank.comparison.study import study_verdict
from adarank.comparison.verdict import sentence, verdict
from adarank.errors import input_error
from adarank.pipeline.artifacts.baseline import read_baseline
from adarank.pipeline.artifacts.measured import CELLS, read_cell
from adarank.pipeline.artifacts.predictions import row_intervals
from adarank.pipeline.artifacts.summary import SUMMARY, read_whole
from adarank.pipeline.artifacts.timings import score_costs, stage_costs
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.console.summary_table import SummaryTable, cost_table
from adarank.pipeline.files.whole import read_json, write_drawable, write_json, write_tsv
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.study import Study, cell_name

DATASET_SOURCE = Path("data/sources/dataset.json")
HEADLINE = Path("metrics/headline.json")
COMPARISON = Path("metrics/comparison.tsv")
FRONTIER = Path("metrics/frontier.tsv")
DIGITS = 6
CONFIDENCE = 0.95

_COSTS = ("trainable_parameters", "peak_parameters")
_FACTS = ("strategy", "budget", "tuner", *_COSTS, "head_parameters", "learning_rate")

Cell = dict[str, Any]


class Params(Slice):
    """What the stage reads."""

    study: Study


app = typer.Typer(add_completion=False)
Show = Annotated[bool, typer.Option("--show", help="Only print the summary written before.")]


@app.command(epilog=describe(Params))
def main(params: ParamsFile = PARAMS_FILE, show: Show = False) -> None:
    """Summarise the study's cells: summary.json, headline.json and two tables in metrics."""
    with reporting("summarize-show" if show else "summarize"):
        if show:
            _show(read_whole().model_dump())
        else:
            run(load(Params, params))


def run(params: Params) -> None:
    """Compare every cell of the study and write the four files."""
    study = params.study
    cells = _cells(study)
    told = summary(cells, study)
    for line in [told["verdict"], *(c["text"] for c in told["caveats"]), *told["costs"]]:
        say(f"summarize: {line}")
    table = compare(cells, reference=study.reference)
    write_drawable(SUMMARY, rounded(told))
    write_json(HEADLINE, rounded(metric(told)))
    write_tsv(COMPARISON, table)
    test = pd.DataFrame(table[table["split"] == "test"])
    write_tsv(FRONTIER, frontier(test, told["headline"]))


def summary(cells: Sequence[Cell], study: Study) -> dict[str, Any]:
    """Sum up the test split: every cell, every comparison by the headline metric, what they show.

    Args:
        cells: The study's cells, as evaluation wrote them.
        study: What is compared with what.
    """
    headline, better = _headline(cells)
    reference, seeds, controls = study.reference, study.seeds, _controls(study)
    compared = pairs(cells, reference=reference, controls=controls)
    rows = row_intervals(cells, compared, headline)
    found = corrected(
        comparisons(compared, metric=headline, better=better, seeds=seeds, rows=rows.intervals)
    )
    constant = read_baseline("test")
    baseline = constant and check_baseline(cells, constant, metric=headline, better=better)
    weak = caveats(cells, seeds, reference=reference, circumstances=_circumstances(controls))
    return {
        "headline": headline,
        "better": better,
        "reference": reference,
        "split": "test",
        "confidence": CONFIDENCE,
        "seeds": seeds,
        "baseline": _baseline(baseline),
        "verdict": study_verdict(found, seeds, reference, baseline),
        "cells": {cell["cell"]: _cell(cell) for cell in cells},
        "comparisons": [_comparison(one) for one in found],
        "caveats": [asdict(caveat) for caveat in [*weak, *rows.caveats]],
        "costs": costs(cells, reference=reference),
    }


def _controls(study: Study) -> dict[str, Control]:
    of = {name: original(name) for name in study.strategies}
    return {name: Control(o, form(name), meaning(name)) for name, o in of.items() if o is not None}


def _circumstances(controls: dict[str, Control]) -> Circumstances:
    source: str = read_json(DATASET_SOURCE)["source"]
    return Circumstances(
        controls=controls, one_permutation=True, project_data=source.startswith("builtin:")
    )


def _baseline(check: BaselineCheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    return {
        "answer": check.answer,
        "value": check.value,
        "not_beaten_by": check.not_beaten_by,
    }


def metric(summary: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Pick what DVC tables show: each cell's headline mean, and its difference from the reference.

    Args:
        summary: What summary.json holds. A cell of which every seed failed is left out.
    """
    headline, reference = summary["headline"], summary["reference"]
    means = {name: cell["metrics"].get(headline) for name, cell in summary["cells"].items()}
    less = {
        one["cell"]: one["difference"]
        for one in summary["comparisons"]
        if one["role"] == "reference" and one["difference"] is not None
    }
    return {
        headline: {name: found["mean"] for name, found in means.items() if found},
        f"less_{reference}": less,
    }


def frontier(test: pd.DataFrame, headline: str) -> pd.DataFrame:
    """Pick the headline metric against parameters: a row a cell, for DVC's figures."""
    mean, less = ["mean", "low", "high"], ["difference", "difference_low", "difference_high"]
    columns = ["strategy", "budget", *_COSTS, "n", "metric", *mean, *less]
    return pd.DataFrame(test[test["metric"] == headline], columns=columns)


def rounded(value: Any) -> Any:
    """Round all floats within a value to six digits that count, so that no dust shows."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{round(value, 12):.{DIGITS}g}") if isinstance(value, float) else value


def _show(summary: dict[str, Any]) -> None:
    console = Console()
    console.print(SummaryTable(summary))
    console.print(cost_table(stage_costs(summary["cells"]), score_costs()))


def _cell(cell: Cell) -> dict[str, Any]:
    found = measured_on_test(cell)
    return {
        **{key: cell[key] for key in _FACTS},
        "tuned": bool(cell["tuned"]),
        "n": len({row["seed"] for row in cell["seeds"]}),
        "failed": cell["failed"],
        "metrics": {name: asdict(one) for name, one in found.items()},
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    cell, against = one.pair.names
    low, high = one.rows or (None, None)
    return {
        "cell": cell,
        "against": against,
        "strategy": one.pair.cell["strategy"],
        "budget": one.pair.cell["budget"],
        "role": one.pair.role,
        "family": one.pair.family,
        "family_size": one.family_size,
        "metric": one.metric,
        "n": one.n,
        "difference": one.difference,
        "low": one.low,
        "high": one.high,
        "p": one.p,
        "p_floor": one.p_floor,
        "t_p": one.t_p,
        "t_p_holm": one.t_p_holm,
        "rows_low": low,
        "rows_high": high,
        "detectable": one.detectable,
        "gain": one.gain,
        "verdict": verdict(one),
        "sentence": sentence(one),
    }


def _headline(cells: Sequence[Cell]) -> tuple[str, str]:
    by_headline = {(cell["headline"], cell["better"]): cell["cell"] for cell in cells}
    if len(by_headline) > 1:
        told = ", ".join(f"{name} by {metric}" for (metric, _), name in by_headline.items())
        raise input_error(
            "the cells are of different tasks",
            where=str(CELLS),
            got=told,
            expected="one metric that all are told by",
            remedy="`dvc repro` evaluates the stale ones anew",
        )
    return next(iter(by_headline))


def _cells(study: Study) -> list[Cell]:
    names = [cell_name(s, b) for b in study.budgets for s in study.strategies]
    missing = [name for name in names if not (CELLS / f"{name}.json").exists()]
    if missing:
        raise input_error(
            f"{len(missing)} of the study's {len(names)} cells are not evaluated",
            where=str(CELLS),
            got=f"none for {', '.join(missing)}",
            expected="a file for each cell",
            remedy="run `dvc repro`, which makes them first",
        )
    return [read_cell(name) for name in names]


if __name__ == "__main__":
    app()
