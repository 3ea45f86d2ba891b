"""Measure one cell's adapters: metrics by seed and split, predictions, a confusion table."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import typer
from pydantic import Field

from adarank.allocation.plan import RankPlan
from adarank.tasks.base import Encoded, Task
from adarank.tasks.registry import make_task
from adarank.tuning.lora import head_parameters, verify
from adarank.tuning.prediction import batches_of, predict
from adarank.tuning.saving import load_adapter
from stages.cell import Budget, Cell, Strategy, StudySeeds
from stages.checkpoint import MODEL, load_tokenizer, pick_device
from stages.cli import PARAMS_FILE, ParamsFile, reporting, say
from stages.dataset import read_description, read_split
from stages.files import write_json, write_parquet, write_tsv
from stages.params import Section, Slice, describe, load
from stages.progress import progress

REPORTED = ("validation", "test")


class EvaluateSection(Section):
    """How adapters are measured."""

    batch_size: int = Field(ge=1, description="rows a forward")
    train_rows: int | None = Field(
        ge=1, description="train rows measured for the gap between train and test; null for all"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto, cpu or cuda")


class TrainedLength(Slice):
    """What must be as in training."""

    max_length: int = Field(ge=4, description="tokens of a text at most; longer ones are cut")


class Params(Slice):
    """What the stage reads."""

    study: StudySeeds
    finetune: TrainedLength
    evaluate: EvaluateSection


@dataclass(frozen=True)
class Work:
    """What all seeds of a cell have in common.

    Attributes:
        plan: The cell's ranks.
        task: Predicts and measures.
        splits: The encoded rows of each split; of train, those that are measured.
        batch_size: Rows a forward.
        device: Where the model runs.
    """

    plan: RankPlan
    task: Task
    splits: dict[str, Encoded]
    batch_size: int
    device: torch.device


@dataclass(frozen=True)
class Measured:
    """One seed's adapter, measured.

    Attributes:
        predictions: A row per row of validation and test, with columns seed and split.
        rows: A record per split: seed, split, n and the metrics.
        lora: Parameters of the adapters, as loaded.
        head: Parameters trained whole beside them.
    """

    predictions: pd.DataFrame
    rows: list[dict[str, Any]]
    lora: int
    head: int


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(strategy: Strategy, budget: Budget, params: ParamsFile = PARAMS_FILE) -> None:
    """Measure a cell's adapters; writes data/predictions, metrics/cells and metrics/confusion."""
    cell = Cell(strategy, budget)
    with reporting(f"evaluate-{cell.name}"):
        run(load(Params, params), cell)


def run(params: Params, cell: Cell) -> None:
    """Measure every seed of a cell and write what came out."""
    work = _work(params, cell)
    seeds = params.study.seeds
    batches = sum(batches_of(len(s.examples), work.batch_size) for s in work.splits.values())
    with progress(f"evaluate {cell.name}", batches * len(seeds)) as advance:
        measured = [_measure(work, cell, seed, advance) for seed in seeds]
    predictions = pd.concat([one.predictions for one in measured], ignore_index=True)
    write_parquet(Path(f"data/predictions/{cell.name}.parquet"), predictions)
    test = predictions.loc[predictions["split"] == "test"]
    write_tsv(Path(f"metrics/confusion/{cell.name}.tsv"), work.task.confusion(test))
    write_json(Path(f"metrics/cells/{cell.name}.json"), _record(work, cell, measured))


def gap(rows: list[dict[str, Any]], metrics: list[str]) -> dict[str, Any]:
    """Subtract test's metrics from train's, for one seed; None where either is undefined."""
    train, test = (next(r for r in rows if r["split"] == s) for s in ("train", "test"))
    return {
        "seed": train["seed"],
        "n_train": train["n"],
        "n_test": test["n"],
        **{name: _difference(train[name], test[name]) for name in metrics},
    }


def _work(params: Params, cell: Cell) -> Work:
    section = params.evaluate
    plan = cell.read_plan()
    task = make_task(read_description(), load_tokenizer(MODEL), params.finetune.max_length)
    splits = {split: task.encode(read_split(split)) for split in REPORTED}
    splits["train"] = task.encode(_some(read_split("train"), section.train_rows))
    return Work(plan, task, splits, section.batch_size, pick_device(section.device))


def _some(rows: pd.DataFrame, wanted: int | None) -> pd.DataFrame:
    if wanted is None or wanted >= len(rows):
        return rows
    # The same rows for every cell and seed, or the gaps could not be compared.
    picked = np.random.default_rng(0).permutation(len(rows))[:wanted]
    return rows.iloc[np.sort(picked)]


def _measure(work: Work, cell: Cell, seed: int, advance: Callable[[], None]) -> Measured:
    headed = work.task.build(MODEL, seed)
    model = load_adapter(headed, cell.adapter(seed))
    built = verify(model, work.plan, headed.head)
    model.to(work.device)
    tables = {
        split: predict(
            model,
            work.task,
            encoded.examples,
            batch_size=work.batch_size,
            device=work.device,
            advance=advance,
        )
        for split, encoded in work.splits.items()
    }
    rows = [_row(work.task, seed, split, table) for split, table in tables.items()]
    predictions = pd.concat([_labelled(tables[split], seed, split) for split in REPORTED])
    _tell(seed, rows)
    lora = sum(one.parameters for one in built.values())
    return Measured(predictions, rows, lora, sum(head_parameters(model).values()))


def _row(task: Task, seed: int, split: str, table: pd.DataFrame) -> dict[str, Any]:
    return {"seed": seed, "split": split, "n": len(table), **task.metrics(table)}


def _labelled(table: pd.DataFrame, seed: int, split: str) -> pd.DataFrame:
    named = table.copy()
    named.insert(0, "split", split)
    named.insert(0, "seed", seed)
    return named


def _record(work: Work, cell: Cell, measured: list[Measured]) -> dict[str, Any]:
    metrics = list(work.task.better)
    return {
        "cell": cell.name,
        "strategy": work.plan.strategy,
        "budget": work.plan.budget,
        "trainable_parameters": measured[0].lora,
        "head_parameters": measured[0].head,
        "seeds": [row for one in measured for row in one.rows],
        "gap": [gap(one.rows, metrics) for one in measured],
    }


def _tell(seed: int, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        numbers = {k: v for k, v in row.items() if isinstance(v, float)}
        told = ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
        say(f"seed {seed}, {row['split']} ({row['n']} rows): {told}")


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


if __name__ == "__main__":
    app()
