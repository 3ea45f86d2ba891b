"""Compare the cells of the study: means, intervals, paired differences, data of the figures."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from adarank.comparison.cells import compare
from adarank.errors import input_error
from adarank.pipeline.artifacts.measured import CELLS, read_cell
from adarank.pipeline.artifacts.summary import SUMMARY, StudySummary, read_summary
from adarank.pipeline.artifacts.timings import score_costs, stage_costs
from adarank.pipeline.console.merges_table import MergesTable
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.console.summary_table import SummaryTable, cost_table
from adarank.pipeline.files.tables import write_tsv
from adarank.pipeline.files.whole import write_drawable, write_json
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.study import StudySection, cell_name
from adarank.pipeline.summarizing.merges import summarize_merges
from adarank.pipeline.summarizing.study import summary
from adarank.pipeline.summarizing.tables import (
    frontier,
    headline_metrics,
    rounded,
    with_tasks,
)

HEADLINE = Path("metrics/headline.json")
COMPARISON = Path("metrics/comparison.tsv")
FRONTIER = Path("metrics/frontier.tsv")

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
    write_json(HEADLINE, rounded(headline_metrics(whole)))
    tables = {task: compare(cells, reference=study.reference) for task, cells in by_task.items()}
    write_tsv(COMPARISON, with_tasks(tables))
    points = {
        task: frontier(pd.DataFrame(table[table["split"] == "test"]), by_task[task][0]["headline"])
        for task, table in tables.items()
    }
    write_tsv(FRONTIER, with_tasks(points))


def _show(summary: StudySummary) -> None:
    console = Console()
    for task in summary.tasks:
        if len(summary.tasks) > 1:
            console.rule(task)
        console.print(SummaryTable(summary.of(task)))
    if summary.merges:
        console.print(MergesTable(summary.merges))
    console.print(cost_table(stage_costs(summary.cells), score_costs()))


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
