"""Hand on the study's best adapter, chosen on validation, with what made it."""

import shutil
from pathlib import Path
from typing import Any

import typer
from pydantic import Field

from adarank.comparison.selection import Selection, select
from adarank.pipeline.artifacts.baseline import read_baseline
from adarank.pipeline.artifacts.cell import TRAINED, Cell
from adarank.pipeline.artifacts.dataset import read_description
from adarank.pipeline.artifacts.measured import read_cell
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import read_json, whole_folder, write_bytes, write_json
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.study import Budgets, Strategies
from adarank.pipeline.report.card import card

BEST = Path("data/best")
SOURCES = Path("data/sources")
ORIGIN = "origin.json"

Record = dict[str, Any]


class StudyCells(Slice):
    """What the stage reads of the study."""

    strategies: Strategies = Field(description="ways to share ranks out")
    budgets: Budgets = Field(description="average ranks")
    reference: str = Field(description="the strategy that all others are compared with")


class Head(Slice):
    """What a reader of the card must know of the head."""

    hidden: int | None = Field(description="width of a GELU layer before the last one; or null")


class Params(Slice):
    """What the stage reads."""

    study: StudyCells
    task: Head


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(params: ParamsFile = PARAMS_FILE) -> None:
    """Copy the adapter that is best on validation; writes data/best."""
    with reporting("best"):
        run(load(Params, params))


def run(params: Params) -> None:
    """Choose a cell and a seed, and write the adapter, its card and its origin.

    Where no cell is a candidate, the folder has the card and the origin alone, which say why.
    """
    study = params.study
    cells = [Cell(s, str(b)) for s in study.strategies for b in study.budgets]
    records = {cell.name: read_cell(cell.name) for cell in cells}
    first, constant = next(iter(records.values())), read_baseline("validation")
    baseline = constant.metrics.get(first["headline"]) if constant else None
    chosen = select(list(records.values()), reference=study.reference, baseline=baseline)
    answer = {"baseline_answer": constant.answer if constant else None}
    origin = _chosen_from(chosen, first, answer) | {"hidden": params.task.hidden}
    with whole_folder(BEST) as folder:
        for cell in cells:
            if cell.name == chosen.cell and chosen.seed is not None:
                origin |= _copied(cell, chosen.seed, records[cell.name], folder)
        write_json(folder / ORIGIN, origin)
        write_bytes(folder / "README.md", card(origin).encode())
    for name, why in chosen.passed_over.items():
        say(f"best: {name} is no candidate: {why}")
    if chosen.beats_baseline is False:
        say(f"best: it does not beat answering {answer['baseline_answer']}: nothing was learned")
    say(f"best: {chosen.cell}, seed {chosen.seed}, by validation" if chosen.cell else "best: none")


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
    """Copy an adapter as it is, and tell everything known of how it came to be."""
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
        "plan": read_json(Path("data/plans") / f"{cell.name}.json"),
        "model": read_json(SOURCES / "model.json"),
        "dataset": read_json(SOURCES / "dataset.json"),
        "description": read_description(),
        "test_by_seed": headline,
    }


if __name__ == "__main__":
    app()
