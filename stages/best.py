"""Hand on the best adapter of every task, chosen on validation, with what made it."""

import shutil
from pathlib import Path
from typing import Any

import typer

from adarank.comparison.selection import Selection, select
from adarank.pipeline.artifacts.baseline import read_baseline
from adarank.pipeline.artifacts.cell import TRAINED, Cell
from adarank.pipeline.artifacts.measured import read_cell
from adarank.pipeline.artifacts.places import MODEL_SOURCE, TASK_SOURCES
from adarank.pipeline.artifacts.task import read_description
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import read_json, whole_folder, write_bytes, write_json
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.study import StudySection
from adarank.pipeline.params.tasks import TasksSection
from adarank.pipeline.report.card import card

BEST = Path("data/best")
ORIGIN = "origin.json"

Record = dict[str, Any]


class Params(Slice):
    """What the stage reads."""

    study: StudySection
    tasks: TasksSection


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(params: ParamsFile = PARAMS_FILE) -> None:
    """Copy each task's adapter that is best on validation; writes data/best/TASK."""
    with reporting("best"):
        run(load(Params, params))


def run(params: Params) -> None:
    """Choose a cell and a seed for every task; write the adapters, their cards and origins."""
    with whole_folder(BEST) as folder:
        for task in params.study.tasks:
            _one_task(params, task, folder / task)


def _one_task(params: Params, task: str, folder: Path) -> None:
    """Write the best adapter of one task.

    Where no cell is a candidate, the folder has the card and the origin alone, which say why.
    """
    study = params.study
    cells = [Cell(task, s, str(b)) for s in study.strategies for b in study.budgets]
    records = {cell.name: read_cell(cell.name) for cell in cells}
    first, constant = next(iter(records.values())), read_baseline(task, "validation")
    baseline = constant.metrics.get(first["headline"]) if constant else None
    chosen = select(list(records.values()), reference=study.reference, baseline=baseline)
    answer = {"baseline_answer": constant.answer if constant else None}
    origin = _chosen_from(chosen, first, answer) | {"hidden": params.tasks.find(task).hidden}
    folder.mkdir()
    for cell in cells:
        if cell.name == chosen.cell and chosen.seed is not None:
            origin |= _copied(cell, chosen.seed, records[cell.name], folder)
    write_json(folder / ORIGIN, origin)
    write_bytes(folder / "README.md", card(origin).encode())
    for name, why in chosen.passed_over.items():
        say(f"best: {name} is no candidate: {why}")
    if chosen.beats_baseline is False:
        say(f"best: it does not beat answering {answer['baseline_answer']}: nothing was learned")
    seed = f"seed {chosen.seed}, by validation"
    say(f"best: {chosen.cell}, {seed}" if chosen.cell else f"best: no adapter of {task}")


def _chosen_from(chosen: Selection, record: Record, answer: Record) -> Record:
    return {
        "cell": chosen.cell,
        "seed": chosen.seed,
        "chosen": {
            "split": "validation",
            "metric": record["headline"],
            "better": record["better"],
            "seed_value": chosen.value,
            "means": chosen.means,
            "passed_over": chosen.passed_over,
            "baseline": chosen.baseline,
            "beats_baseline": chosen.beats_baseline,
            **answer,
        },
    }


def _copied(cell: Cell, seed: int, record: Record, folder: Path) -> Record:
    """Copy an adapter as it is, and record everything known of how it came to be."""
    source, trained = cell.trained(seed)
    for path in sorted(source.iterdir()):
        if path.name != TRAINED:
            shutil.copyfile(path, folder / path.name)
    headline = [row["headline"] for row in record["seeds"] if row["split"] == "test"]
    return {
        "strategy": record["strategy"],
        "budget": record["budget"],
        "tuner": record["tuner"],
        "trained": trained,
        "learning_rates": cell.rates(),
        "plan": read_json(cell.plan),
        "model": read_json(MODEL_SOURCE),
        "dataset": read_json(TASK_SOURCES / f"{cell.task}.json"),
        "description": read_description(cell.task),
        "test_by_seed": headline,
    }


if __name__ == "__main__":
    app()
