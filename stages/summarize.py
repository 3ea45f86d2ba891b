"""Bring the study's cells together: means, intervals, paired differences, figures' data."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import typer
from pydantic import ConfigDict, Field
from rich.console import Console

from adarank.comparison import caveats, compare, costs
from adarank.errors import input_error
from stages.cli import PARAMS_FILE, ParamsFile, reporting, say
from stages.files import Record, read_record, write_json, write_tsv
from stages.params import Slice, describe, load
from stages.study import Study, cell_name
from stages.summary_table import summary_table

CELLS = Path("metrics/cells")
SUMMARY = Path("metrics/summary.json")
COMPARISON = Path("metrics/comparison.tsv")
FRONTIER = Path("metrics/frontier.tsv")
DIGITS = 6

_COSTS = ("trainable_parameters", "peak_parameters")


class Params(Slice):
    """What the stage reads."""

    study: Study


class Row(Record):
    """What a cell tells of a seed and split; its metrics lie beside."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float | None]  # pyright: ignore[reportIncompatibleVariableOverride]

    seed: int
    split: Literal["train", "validation", "test"]
    n: int
    headline: float | None


class CellForm(Record):
    """What the summary reads of a cell; see `stages.evaluate`."""

    cell: str
    strategy: str
    budget: float
    tuner: str
    headline: str
    better: Literal["higher", "lower"]
    trainable_parameters: int
    peak_parameters: int
    learning_rate: float
    tuned: list[dict[str, Any]]
    seeds: list[Row] = Field(min_length=1)


class SummaryCell(Record):
    """What is shown of a cell; its metrics lie beside."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float | None]  # pyright: ignore[reportIncompatibleVariableOverride]

    trainable_parameters: int
    n: int


class SummaryForm(Record):
    """What is shown of a summary; its cells lie beside."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, SummaryCell]  # pyright: ignore[reportIncompatibleVariableOverride]

    headline: str
    better: str
    reference: str
    notes: list[str]
    costs: list[str]


app = typer.Typer(add_completion=False)
Show = Annotated[bool, typer.Option("--show", help="Only print the summary written before.")]


@app.command(epilog=describe(Params))
def main(params: ParamsFile = PARAMS_FILE, show: Show = False) -> None:
    """Summarise the study's cells; writes summary.json, comparison.tsv, frontier.tsv in metrics."""
    with reporting("summarize-show" if show else "summarize"):
        if show:
            Console().print(summary_table(read_record(SUMMARY, SummaryForm)))
        else:
            run(load(Params, params))


def run(params: Params) -> None:
    """Compare every cell of the study and write the three files."""
    study = params.study
    cells = _cells(study)
    headline, better = _headline(cells)
    table = compare(cells, reference=study.reference)
    test = pd.DataFrame(table[table["split"] == "test"])
    said = {
        "notes": caveats(cells, study.seeds, reference=study.reference),
        "costs": costs(cells, reference=study.reference),
    }
    for note in said["notes"] + said["costs"]:
        say(f"summarize: {note}")
    told = {"headline": headline, "better": better, "reference": study.reference}
    write_json(SUMMARY, {**_with_rates(summary(test, headline), cells), **told, **said})
    write_tsv(COMPARISON, table)
    write_tsv(FRONTIER, frontier(test, headline))


def summary(test: pd.DataFrame, headline: str) -> dict[str, Any]:
    """Sum up the test split: by cell, parameters, seeds and every metric's mean.

    The headline metric comes with its deviation, interval and difference from the reference; the
    others' are in comparison.tsv. Rounded, so that a table of differences shows no arithmetic's
    dust.
    """
    cells: dict[str, Any] = {}
    for row in test.to_dict("records"):
        cell = cells.setdefault(row["cell"], {key: row[key] for key in (*_COSTS, "n")})
        cell[row["metric"]] = _rounded(row["mean"])
        if row["metric"] == headline:
            cell["n"] = row["n"]
            cell |= {
                f"{headline}_{key}": _rounded(row[key])
                for key in ("sd", "low", "high", "difference", "difference_low", "difference_high")
            }
    return cells


def frontier(test: pd.DataFrame, headline: str) -> pd.DataFrame:
    """Pick the headline metric against parameters: a row a cell, for the frontier's figure."""
    columns = ["strategy", "budget", *_COSTS, "n", "metric", "mean", "low", "high"]
    return pd.DataFrame(test[test["metric"] == headline], columns=columns)


def _headline(cells: list[dict[str, Any]]) -> tuple[str, str]:
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


def _with_rates(told: dict[str, Any], cells: list[dict[str, Any]]) -> dict[str, Any]:
    for cell in cells:
        if cell["tuned"]:
            told[cell["cell"]]["learning_rate"] = cell["learning_rate"]
    return told


def _cells(study: Study) -> list[dict[str, Any]]:
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
    return [_cell(s, b) for b in study.budgets for s in study.strategies]


def _cell(strategy: str, budget: float) -> dict[str, Any]:
    path = CELLS / f"{cell_name(strategy, budget)}.json"
    cell = read_record(path, CellForm)
    if (cell["strategy"], cell["budget"]) != (strategy, budget):
        raise input_error(
            "another cell's measurements",
            where=str(path),
            got=f"strategy {cell['strategy']}, budget {cell['budget']:g}",
            expected=f"strategy {strategy}, budget {budget:g}",
            remedy="delete it and run `dvc repro`, which measures anew",
        )
    return cell


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


if __name__ == "__main__":
    app()
