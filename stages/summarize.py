"""Bring the study's cells together: means, intervals, paired differences, figures' data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from adarank.allocation.strategies.controls import form, meaning, original
from adarank.comparison.across_tasks.table import TaskMetric
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
from adarank.pipeline.artifacts.across import summarize_across
from adarank.pipeline.artifacts.baseline import read_baseline
from adarank.pipeline.artifacts.measured import CELLS, read_cell
from adarank.pipeline.artifacts.merges import summarize_merges
from adarank.pipeline.artifacts.places import TASK_SOURCES
from adarank.pipeline.artifacts.predictions import PREDICTIONS, Rows, row_intervals
from adarank.pipeline.artifacts.summary import SUMMARY, StudySummary, read_summary
from adarank.pipeline.artifacts.task import read_description
from adarank.pipeline.artifacts.timings import score_costs, stage_costs
from adarank.pipeline.console.merges_table import MergesTable
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.console.summary_table import SummaryTable, cost_table
from adarank.pipeline.datasets.dividing.overlap import shared_in_words
from adarank.pipeline.files.whole import read_json, write_drawable, write_json, write_tsv
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.study import StudySection, cell_name
from adarank.tasks.cut import cut_caveats

HEADLINE = Path("metrics/headline.json")
COMPARISON = Path("metrics/comparison.tsv")
FRONTIER = Path("metrics/frontier.tsv")
DIGITS = 6
CONFIDENCE = 0.95

_COSTS = ("trainable_parameters", "peak_parameters")
_FACTS = ("task", "strategy", "budget", "tuner", *_COSTS, "head_parameters", "learning_rate")

Cell = dict[str, Any]


class Params(Slice):
    """What the stage reads."""

    study: StudySection


app = typer.Typer(add_completion=False)
Show = Annotated[bool, typer.Option("--show", help="Only print the summary written before.")]


@app.command(epilog=describe(Params))
def main(params: ParamsFile = PARAMS_FILE, show: Show = False) -> None:
    """Summarise the study's cells: summary.json, headline.json and two tables in metrics."""
    with reporting("summarize-show" if show else "summarize"):
        if show:
            _show(read_summary())
        else:
            run(load(Params, params))


def run(params: Params) -> None:
    """Compare every cell of the study and write the four files."""
    study = params.study
    by_task = {task: _cells(study, task) for task in study.tasks}
    whole = summary(by_task, study)
    whole["merges"] = summarize_merges(study)
    say(f"summarize: {whole['verdict']}")
    for task, part in whole["tasks"].items():
        for line in [*(c["text"] for c in part["caveats"]), *part["costs"]]:
            say(f"summarize: {task}: {line}")
    write_drawable(SUMMARY, rounded(whole))
    write_json(HEADLINE, rounded(metric(whole)))
    tables = {task: compare(cells, reference=study.reference) for task, cells in by_task.items()}
    write_tsv(COMPARISON, _with_tasks(tables))
    points = {
        task: frontier(pd.DataFrame(table[table["split"] == "test"]), by_task[task][0]["headline"])
        for task, table in tables.items()
    }
    write_tsv(FRONTIER, _with_tasks(points))


def summary(by_task: Mapping[str, Sequence[Cell]], study: StudySection) -> dict[str, Any]:
    """Sum up the test split: every cell, every comparison by its headline metric, what they show.

    Args:
        by_task: The study's cells, as evaluation wrote them, by task.
        study: What is compared with what.
    """
    parts = {task: _compared(task, cells, study) for task, cells in by_task.items()}
    # One family over all tasks: the more one looks at, the more is found by chance.
    found = corrected([one for part in parts.values() for one in part.comparisons])
    tasks = {
        task: part.summary(study, [one for one in found if one.task == task])
        for task, part in parts.items()
    }
    verdicts = [part["verdict"] for part in tasks.values()]
    across: dict[str, Any] | None = None
    if len(parts) > 1:
        across = summarize_across(
            {task: part.cells for task, part in parts.items()},
            {task: TaskMetric(part.headline, part.better) for task, part in parts.items()},
            reference=study.reference,
            controls=_controls(study),
            seeds=study.seeds,
        )
        named = [f"{task}: {part['verdict']}" for task, part in tasks.items()]
        verdicts = [across.pop("verdict"), *named]
    return {
        "reference": study.reference,
        "split": "test",
        "confidence": CONFIDENCE,
        "seeds": study.seeds,
        "verdict": " ".join(filter(None, verdicts)),
        "tasks": tasks,
        "cells": {cell["cell"]: _cell(cell) for cells in by_task.values() for cell in cells},
        "comparisons": [{"task": one.task, **_comparison(one)} for one in found],
        "across": across,
        "reused": (len(study.tasks) - 1) * len(study.signals),
    }


@dataclass(frozen=True)
class _Task:
    """One task's cells and comparisons, the cells named by their plans in all sentences."""

    name: str
    cells: list[Cell]
    headline: str
    better: str
    rows: Rows
    comparisons: list[Comparison]
    controls: dict[str, Control]

    def summary(self, study: StudySection, found: Sequence[Comparison]) -> dict[str, Any]:
        """Lay out the task's part of the summary; `found` are its comparisons, corrected."""
        constant = read_baseline(self.name, "test")
        baseline = constant and check_baseline(
            self.cells, constant, metric=self.headline, better=self.better
        )
        source: str = read_json(TASK_SOURCES / f"{self.name}.json")["source"]
        description = read_description(self.name)
        known = Circumstances(
            controls=self.controls,
            project_data=source.startswith("builtin:"),
            cut_rows=cut_caveats(self.cells),
            shared_texts=shared_in_words(
                description.get("shared_texts", {}), description.get("rows", {})
            ),
        )
        weak = caveats(self.cells, study.seeds, reference=study.reference, circumstances=known)
        return {
            "type": description["type"],
            "headline": self.headline,
            "better": self.better,
            "baseline": _baseline(baseline),
            "verdict": study_verdict(found, study.seeds, study.reference, baseline),
            "caveats": [asdict(caveat) for caveat in [*weak, *self.rows.caveats]],
            "costs": costs(self.cells, reference=study.reference),
        }


def _compared(task: str, cells: Sequence[Cell], study: StudySection) -> _Task:
    """Compare one task's cells; nothing is corrected yet."""
    headline, better = _headline(cells)
    reference, controls = study.reference, _controls(study)
    named = [cell | {"cell": cell["cell"].removeprefix(f"{task}/")} for cell in cells]
    compared = pairs(named, reference=reference, controls=controls)
    rows = row_intervals(named, compared, headline, PREDICTIONS / task)
    found = comparisons(
        compared,
        metric=headline,
        better=better,
        seeds=study.seeds,
        rows=rows.intervals,
        task=task,
    )
    return _Task(task, named, headline, better, rows, found, controls)


def _controls(study: StudySection) -> dict[str, Control]:
    of = {name: original(name) for name in study.strategies}
    return {name: Control(o, form(name), meaning(name)) for name, o in of.items() if o is not None}


def _baseline(check: BaselineCheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    return {
        "answer": check.answer,
        "value": check.value,
        "not_beaten_by": check.not_beaten_by,
    }


def metric(summary: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Pick what DVC tables show: by task, each cell's headline mean and its difference.

    Args:
        summary: What summary.json holds. A cell of which every seed failed is left out.
    """
    reference = summary["reference"]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for task, part in summary["tasks"].items():
        headline = part["headline"]
        cells = {c["plan"]: c for c in summary["cells"].values() if c["task"] == task}
        means = {name: cell["metrics"].get(headline) for name, cell in cells.items()}
        less = {
            one["cell"]: one["difference"]
            for one in summary["comparisons"]
            if one["task"] == task and one["role"] == "reference" and one["difference"] is not None
        }
        found[task] = {
            headline: {name: mean["mean"] for name, mean in means.items() if mean},
            f"less_{reference}": less,
        }
    return found


def _with_tasks(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    named = [table.assign(task=task) for task, table in tables.items()]
    together = pd.concat(named, ignore_index=True)
    return pd.DataFrame(together[["task", *together.columns.drop("task")]])


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


def _show(summary: StudySummary) -> None:
    console = Console()
    for task in summary.tasks:
        if len(summary.tasks) > 1:
            console.rule(task)
        console.print(SummaryTable(summary.of(task).model_dump()))
    if summary.merges:
        console.print(MergesTable(summary.merges))
    console.print(cost_table(stage_costs(summary.cells), score_costs()))


def _cell(cell: Cell) -> dict[str, Any]:
    found = measured_on_test(cell)
    return {
        "plan": cell["cell"].removeprefix(f"{cell['task']}/"),
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
        headlines = ", ".join(f"{name} by {metric}" for (metric, _), name in by_headline.items())
        raise input_error(
            "the cells are of different tasks",
            where=str(CELLS),
            got=headlines,
            expected="one headline metric for all",
            remedy="`dvc repro` evaluates the stale ones anew",
        )
    return next(iter(by_headline))


def _cells(study: StudySection, task: str) -> list[Cell]:
    names = [cell_name(task, s, b) for b in study.budgets for s in study.strategies]
    missing = [name for name in names if not (CELLS / f"{name}.json").exists()]
    if missing:
        raise input_error(
            f"{len(missing)} of the {len(names)} cells of {task} are not evaluated",
            where=str(CELLS),
            got=f"none for {', '.join(missing)}",
            expected="a file for each cell",
            remedy="run `dvc repro`, which makes them first",
        )
    return [read_cell(name) for name in names]


if __name__ == "__main__":
    app()
