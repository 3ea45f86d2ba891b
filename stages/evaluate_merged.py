"""Measure a merge on the test rows of every task, each with its own head."""

# Before all other imports: importing it hashes the code, which these then read.
from adarank.pipeline.scratch.fingerprint import fingerprint

# isort: split
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import typer

from adarank.pipeline.artifacts.cell import FAILED, seed_folder
from adarank.pipeline.artifacts.merged import MERGED, FailedMerge, write_merged
from adarank.pipeline.artifacts.model import pick_device
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.artifacts.task import DESCRIPTION, read_split, task_folder
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import folder_sha256, read_json, read_record
from adarank.pipeline.merging.base import read_base
from adarank.pipeline.merging.reads import MergeParams as Params
from adarank.pipeline.merging.reads import Method, batch_sizes, how_read, read_tasks
from adarank.pipeline.merging.result import put_on, read_head
from adarank.pipeline.merging.running import RECORD
from adarank.pipeline.merging.runs import merge_run
from adarank.pipeline.merging.shared_body import SharedBody
from adarank.pipeline.params.loader import describe, load
from adarank.pipeline.running.measured_rows import measured_row, non_finite
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.entry import Entry
from adarank.pipeline.scratch.store import Key, Store, make_key, open_store
from adarank.tasks.base import Encoded, Task
from adarank.tuning.prediction import batches_of, predict

Record = dict[str, Any]
_TEST = (DESCRIPTION, "test.parquet")


@dataclass(frozen=True)
class Work:
    """What all seeds have in common.

    Attributes:
        folder: The merge's: a folder a seed.
        tasks: By name; they predict and measure.
        test: By task: its encoded rows.
        batch_sizes: By task: rows a forward.
        device: Where the model runs.
    """

    folder: Path
    tasks: Mapping[str, Task]
    test: Mapping[str, Encoded]
    batch_sizes: Mapping[str, int]
    device: torch.device


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(method: Method, params: ParamsFile = PARAMS_FILE) -> None:
    """Measure a merge's seeds on test; writes metrics/cells/merged/METHOD.json."""
    with reporting(f"evaluate_merged-{method}"):
        run(load(Params, params), method)


def run(params: Params, name: str) -> None:
    """Measure every seed of a merge and write what came out."""
    tasks, sizes = read_tasks(params), batch_sizes(params)
    test = {task: one.encode(read_split(task, "test")) for task, one in tasks.items()}
    work = Work(MERGED / name, tasks, test, sizes, pick_device(params.evaluate.device))
    batches = sum(batches_of(len(one.examples), sizes[task]) for task, one in test.items())
    rows: list[Record] = []
    failed: list[Record] = []
    store = open_store()
    with progress(f"evaluate_merged {name}", batches * len(params.seeds)) as advance:
        for seed in params.seeds:
            path = seed_folder(work.folder, seed) / FAILED
            if path.exists():
                failed.append({"seed": seed, **read_record(path, FailedMerge)})
                continue
            key = _key(params, work, seed, name)
            found = _cached(store, key, partial(_measure, work, seed, advance))
            if found["error"] is None:
                rows += found["rows"]
                _say(seed, found["rows"])
            else:
                failed.append({"seed": seed, "error": found["error"]})
                say(f"seed {seed}: FAILED, {found['error']}")
    write_merged(_record(params, work, name, rows, failed))


def _cached(store: Store, key: Key, measure: Callable[[], Record]) -> Record:
    with store.held(key):
        entry = store.get(key)
        if entry is None:
            entry = Entry(note=measure())
            store.put(key, entry)
        else:
            say(f"{key.what}: taken from {store.name}")
    return entry.note


def _measure(work: Work, seed: int, advance: Callable[[], None]) -> Record:
    folder, tasks = seed_folder(work.folder, seed), list(work.tasks.values())
    shared = SharedBody(MODEL, tasks, [read_head(folder, task) for task in work.tasks])
    put_on(shared.body, folder, read_base(MODEL))
    tables: dict[str, pd.DataFrame] = {}
    for (name, task), model in zip(work.tasks.items(), shared.models, strict=True):
        model.to(work.device)
        tables[name] = predict(
            model,
            task,
            work.test[name].examples,
            batch_size=work.batch_sizes[name],
            device=work.device,
            advance=advance,
        )
    error = non_finite(tables)
    measured = {} if error else work.tasks
    rows = [measured_row(one, seed, {"task": name}, tables[name]) for name, one in measured.items()]
    return {"rows": rows, "error": error}


def _key(params: Params, work: Work, seed: int, name: str) -> Key:
    decides = {
        "merged": folder_sha256(seed_folder(work.folder, seed)),
        "data": {task: folder_sha256(task_folder(task), _TEST) for task in work.tasks},
        "tasks": how_read(params),
        "model": folder_sha256(MODEL),
        "batch_sizes": dict(work.batch_sizes),
        **surroundings(fingerprint("stages.evaluate_merged"), work.device),
    }
    return make_key("evaluation", f"evaluate_merged {name}, seed {seed}", seed=seed, **decides)


def _record(
    params: Params, work: Work, name: str, rows: list[Record], failed: list[Record]
) -> Record:
    section, method = params.merge, merge_run(params.merge, name).method
    lost = {one["seed"] for one in failed}
    made = {
        seed: read_json(seed_folder(work.folder, seed) / RECORD)
        for seed in params.seeds
        if seed not in lost
    }
    first = next(iter(made.values()), {})
    adapter = first.get("adapter")
    return {
        "merge": name,
        "method": method.name,
        "learned": method.learned,
        "transductive": method.learned and section.transductive,
        "strategy": section.strategy,
        "budget": section.budget,
        "parameters": adapter and adapter["parameters"],
        "tasks": {
            task: {"metric": one.headline, "better": one.better[one.headline]}
            for task, one in work.tasks.items()
        },
        # The masks of the first seed, for the figure; data/merged has those of all.
        "kept": [
            {key: row[key] for key in ("weight", "task", "mask", "scaling")}
            for row in first.get("ranks", [])
        ],
        "chosen": [
            {"seed": seed, "values": one["values"], "tried": one["tried"]}
            for seed, one in made.items()
        ],
        "failed": failed,
        "seeds": rows,
    }


def _say(seed: int, rows: list[Record]) -> None:
    values = ", ".join(f"{row['task']} {_number(row['headline'])}" for row in rows)
    say(f"seed {seed}, test: {values}")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    app()
