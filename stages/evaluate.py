"""Measure one cell: metrics by seed and split, predictions, a confusion table."""

# Before all other imports: importing it hashes the code, which these then read.
from adarank.pipeline.scratch.fingerprint import fingerprint

# isort: split
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import typer

from adarank.allocation.plan import RankPlan
from adarank.errors import input_error
from adarank.models.form import BaseForm
from adarank.pipeline.artifacts.cell import (
    TRAINED,
    Budget,
    Cell,
    Record,
    Strategy,
    StudySeeds,
    seed_folder,
)
from adarank.pipeline.artifacts.cell import Task as TaskOption
from adarank.pipeline.artifacts.measured import write_cell
from adarank.pipeline.artifacts.model import form_of, load_tokenizer, pick_device
from adarank.pipeline.artifacts.places import CONFUSION, MODEL
from adarank.pipeline.artifacts.remote_code import register_code
from adarank.pipeline.artifacts.task import read_description, read_split, sampled, task_folder
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.tables import write_parquet, write_tsv
from adarank.pipeline.files.whole import folder_sha256, sha256
from adarank.pipeline.params.evaluate import EvaluateSection
from adarank.pipeline.params.finetune import FinetuneSection
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.model import ModelSection
from adarank.pipeline.params.tasks import TasksSection, evaluate_of, finetune_of, task_named
from adarank.pipeline.running.measured_rows import measured_row, non_finite
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.measuring import Measured, kept_or_measured, tell_found
from adarank.pipeline.scratch.store import Key, make_key, open_store
from adarank.tasks.base import Encoded, Task
from adarank.tasks.cut import cut_in_words
from adarank.tasks.registry import make_task
from adarank.tuning.prediction import batches_of, predict
from adarank.tuning.tuners.base import Found
from adarank.tuning.tuners.registry import TUNERS

REPORTED = ("validation", "test")

_NONE = pd.DataFrame(
    {name: pd.Series(dtype="int64") for name in ("seed", "row", "label", "predicted")}
    | {"split": pd.Series(dtype="str"), "loss": pd.Series(dtype="float64")}
)
"""The predictions of a cell of which every seed failed."""


class Params(Slice):
    """What the stage reads."""

    study: StudySeeds
    tasks: TasksSection
    finetune: FinetuneSection
    evaluate: EvaluateSection
    model: ModelSection


@dataclass(frozen=True)
class Work:
    """What all seeds of a cell have in common.

    Attributes:
        plan: The cell's ranks; a seed trained `plan.for_seed(seed)`.
        task: Predicts and measures.
        splits: The encoded rows of each split; of train, those that are measured.
        batch_size: Rows a forward.
        device: Where the model runs.
        form: In which its base is held.
    """

    plan: RankPlan
    task: Task
    splits: dict[str, Encoded]
    batch_size: int
    device: torch.device
    form: BaseForm


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(
    task: TaskOption, strategy: Strategy, budget: Budget, params: ParamsFile = PARAMS_FILE
) -> None:
    """Measure a cell's seeds; writes data/predictions, metrics/cells and metrics/confusion."""
    with reporting(f"evaluate-{task}-{strategy}-{budget}"), task_named(task):
        run(load(Params, params), Cell(task, strategy, budget))


def run(params: Params, cell: Cell) -> None:
    """Measure every seed of a cell and write what came out."""
    work, store = _work(params, cell), open_store()
    for said in cut_in_words(_cut(work)):
        say(f"evaluate {cell.name}: {said}")
    seeds = params.study.seeds
    batches = sum(batches_of(len(s.examples), work.batch_size) for s in work.splits.values())
    with progress(f"evaluate {cell.name}", batches * len(seeds)) as advance:
        failures = {seed: cell.failure(seed) for seed in seeds}
        failed = {seed: failure for seed, failure in failures.items() if failure is not None}
        keys = _keys(params, cell, [seed for seed in seeds if seed not in failed])
        tell_found(store, f"evaluate {cell.name}", keys)
        measured: list[Measured] = []
        for seed, key in keys.items():
            one = kept_or_measured(store, key, partial(_measure, work, cell, seed, advance))
            if one.error is None:
                measured.append(one)
            else:
                failed[seed] = one.trained | {"error": one.error}
    tables = [one.predictions for one in measured] or [_NONE]
    predictions = pd.concat(tables, ignore_index=True)
    write_parquet(Path(f"data/predictions/{cell.name}.parquet"), predictions)
    test = predictions.loc[predictions["split"] == "test"]
    write_tsv(CONFUSION / f"{cell.name}.tsv", work.task.confusion(test))
    write_cell(_record(work, cell, measured, failed))


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
    name, about = cell.task, params.tasks.find(cell.task)
    section = evaluate_of(params.evaluate, about)
    plan = cell.read_plan()
    length = finetune_of(params.finetune, about).max_length
    register_code(MODEL, trusted=params.model.trust_remote_code)
    task = make_task(read_description(name), load_tokenizer(MODEL), length, about.options)
    splits = {split: task.encode(read_split(name, split)) for split in REPORTED}
    splits["train"] = task.encode(sampled(read_split(name, "train"), section.train_rows))
    device = pick_device(section.device)
    return Work(plan, task, splits, section.batch_size, device, form_of(params.model))


def _measure(work: Work, cell: Cell, seed: int, advance: Callable[[], None]) -> Measured:
    folder, trained = cell.trained(seed)
    tuner, headed = TUNERS[work.plan.tuner], work.task.build(MODEL, seed, work.form)
    model = tuner.load(headed, folder)
    found = tuner.verify(model, work.plan.for_seed(seed), headed.head)
    _check(found, trained, folder)
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
    error = non_finite(tables)
    if error is not None:
        say(f"seed {seed}: FAILED, {error}")
        return Measured(_NONE, [], trained, error)
    rows = [measured_row(work.task, seed, {"split": split}, t) for split, t in tables.items()]
    predictions = pd.concat([_labelled(tables[split], seed, split) for split in REPORTED])
    _tell(seed, rows)
    return Measured(predictions, rows, trained)


def _cut(work: Work) -> dict[str, dict[str, int]]:
    return {split: encoded.counts() for split, encoded in work.splits.items()}


def _keys(params: Params, cell: Cell, seeds: list[int]) -> dict[int, Key]:
    about = params.tasks.find(cell.task)
    section = evaluate_of(params.evaluate, about)
    decides = {
        "plan": sha256(cell.plan),
        "data": folder_sha256(task_folder(cell.task)),
        "options": asdict(about.options),
        "max_length": finetune_of(params.finetune, about).max_length,
        "evaluate": section.model_dump(exclude={"device"}),
        "form": asdict(form_of(params.model)),
        **surroundings(fingerprint("stages.evaluate"), pick_device(section.device)),
    }

    def key(seed: int) -> Key:
        adapter = folder_sha256(seed_folder(cell.adapters, seed))
        what = f"evaluate {cell.name}, seed {seed}"
        return make_key("evaluation", what, seed=seed, adapter=adapter, **decides)

    return {seed: key(seed) for seed in seeds}


def _check(found: Found, trained: Record, folder: Path) -> None:
    recorded = {name: trained[name] for name in ("ranks", "parameters", "head_parameters")}
    if asdict(found) != recorded:
        raise input_error(
            "what is loaded is not what fine-tuning recorded",
            where=str(folder),
            got=asdict(found),
            expected=f"as in {TRAINED}: {recorded}",
            remedy="delete the folder and train again: `dvc repro`",
        )


def _labelled(table: pd.DataFrame, seed: int, split: str) -> pd.DataFrame:
    named = table.copy()
    named.insert(0, "split", split)
    named.insert(0, "seed", seed)
    return named


def _record(
    work: Work, cell: Cell, measured: list[Measured], failed: dict[int, Record]
) -> dict[str, Any]:
    task, metrics = work.task, list(work.task.better)
    rates = cell.rates()
    built = [one.trained for one in measured] + list(failed.values())
    # Tuners that move rank about may end at other ranks with every seed: the largest is stated.
    return {
        "cell": cell.name,
        "task": cell.task,
        "strategy": work.plan.strategy,
        "budget": work.plan.budget,
        "tuner": work.plan.tuner,
        **({"note": work.plan.note} if work.plan.note else {}),
        **({"unit": work.plan.unit} if work.plan.cost else {}),
        "headline": task.headline,
        "better": task.better[task.headline],
        "trainable_parameters": max(one["parameters"] for one in built),
        "peak_parameters": max(one.get("peak_parameters", one["parameters"]) for one in built),
        **_mean_parameters(built),
        "head_parameters": built[0]["head_parameters"],
        "learning_rate": rates["learning_rate"],
        **({"rate_ratio": rates["rate_ratio"]} if rates.get("rate_ratio", 1.0) != 1 else {}),
        "tuned": rates["tried"],
        "cut": _cut(work),
        "failed": [{"seed": seed, "error": failure["error"]} for seed, failure in failed.items()],
        "seeds": [row for one in measured for row in one.rows],
        "gap": [gap(one.rows, metrics) for one in measured],
    }


def _mean_parameters(built: list[Record]) -> dict[str, int]:
    """What was trained on average over steps and seeds; nothing where it never changes."""
    means = [one["mean_parameters"] for one in built if "mean_parameters" in one]
    return {"mean_parameters": round(sum(means) / len(means))} if means else {}


def _tell(seed: int, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        numbers = {k: v for k, v in row.items() if isinstance(v, float) and k != "headline"}
        values = ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
        say(f"seed {seed}, {row['split']} ({row['n']} rows): {values}")


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


if __name__ == "__main__":
    app()
