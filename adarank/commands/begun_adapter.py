"""An adapter before its first step: a plan's factors, begun on a task's rows, as PEFT's files."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig

from adarank.allocation.directions import directions_of
from adarank.allocation.plan import RankPlan
from adarank.commands.dry_run import empty_model
from adarank.commands.settings import Beginning, Reading, Scoring
from adarank.errors import input_error
from adarank.models.coverage import cover
from adarank.pipeline.artifacts.model import load_tokenizer, pick_device
from adarank.pipeline.console.reporting import say
from adarank.pipeline.params.probe import read_table
from adarank.scoring.signals.gradient_directions import gradient_directions
from adarank.scoring.signals.input_directions import input_directions
from adarank.scoring.signals.objective import Objective
from adarank.scoring.signals.warmup import WarmUp, warm_up
from adarank.scoring.text_inputs import most_tokens
from adarank.tasks.base import Batch, Headed, Task
from adarank.tasks.registry import make_task
from adarank.tuning.saving import verify_saved
from adarank.tuning.tuners.base import Start
from adarank.tuning.tuners.lora import Lora

BATCH = 16
WARMUP_RATE = 0.01
_DIRECTIONS = {"gradient": gradient_directions, "inputs": input_directions}


def write_begun(
    folder: Path, plan: RankPlan, reading: Reading, scoring: Scoring, beginning: Beginning
) -> dict[str, Any]:
    """Begin a plan's factors and write them as an adapter that PEFT loads.

    As in the pipeline, a head is trained for some steps before the gradient is taken, and the
    adapter's file holds the head as it was before: the checkpoint's, or drawn by the seed.

    Args:
        folder: The model's.
        plan: The ranks.
        reading: The device and the longest row.
        scoring: The kinds of modules, and the seed.
        beginning: The start, the rows, and where to.

    Returns:
        For the JSON: what the start was made from.

    Raises:
        InputError: A table or model that cannot be used so, or directions fewer than a rank.
    """
    task, rows = _task(folder, beginning, reading.max_length, scoring.seed)
    build = partial(task.build, folder, scoring.seed)
    directions, warmed = _directions(build(), task, rows, plan, reading, scoring, beginning)
    start = Start(task, (), 0, BATCH, 0.0, scoring.seed, directions=directions)
    plan, tuner = replace(plan, start=beginning.start), Lora()
    headed = build()
    model = tuner.attach(headed, plan, start)
    tuner.save(model, beginning.adapter)
    verify_saved(tuner, model, plan, beginning.adapter, build)
    say(f"start: {beginning.start}, {len(rows)} rows; untrained adapter in {beginning.adapter}")
    digest = hashlib.sha256(beginning.table.read_bytes()).hexdigest()
    about = {"name": beginning.start, "task": task.peft_type, "rows": len(rows)}
    return {**about, "warmup_steps": warmed, "sha256": digest}


def _directions(
    headed: Headed,
    task: Task,
    rows: pd.DataFrame,
    plan: RankPlan,
    reading: Reading,
    scoring: Scoring,
    beginning: Beginning,
) -> tuple[Mapping[str, Tensor], int]:
    """Find the directions that the start needs, and how many steps the head was trained."""
    if beginning.start not in _DIRECTIONS:
        return {}, 0
    device = pick_device(reading.device)
    # transformers types its own `to` for itself alone.
    model = cast("nn.Module", headed.model).to(device)
    batches = _batches(task, rows, device)
    modules = cover(model, batches, scoring.modules, task.loss).modules
    objective = Objective(task.loss)
    warmed = None
    if beginning.start == "gradient":
        settings = WarmUp(beginning.warmup_steps, WARMUP_RATE, scoring.seed)
        warmed = warm_up(model, headed.head, batches, objective, settings)
    find = _DIRECTIONS[beginning.start]
    found = find(model, batches, modules, objective, components=plan.max_rank)
    return _as_tensors(directions_of(found.table)), warmed.steps if warmed else 0


def _as_tensors(rows: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(directions) for name, directions in rows.items()}


def _batches(task: Task, rows: pd.DataFrame, device: torch.device) -> list[Batch]:
    examples = task.for_training(task.encode(rows).examples)
    parts = [examples[at : at + BATCH] for at in range(0, len(examples), BATCH)]
    return [{k: v.to(device) for k, v in task.collate(part).items()} for part in parts]


def _task(
    folder: Path, beginning: Beginning, max_length: int, seed: int
) -> tuple[Task, pd.DataFrame]:
    """Make the task that a table's columns stand for, and draw its rows."""
    table, tokenizer = _read(beginning.table), load_tokenizer(folder)
    limit = most_tokens(empty_model(folder, with_head=False)) or max_length
    max_length = min(max_length, tokenizer.model_max_length, limit)
    if {"text", "label"} <= {*table}:
        names = table["label"].astype(str)
        labels = _labels(folder, sorted(set(names)))
        table = table.assign(label=names.map(labels.index))
        task = make_task({"type": "classification", "labels": labels}, tokenizer, max_length)
    else:
        if "response" not in table:
            table = table.assign(prompt="", response=table["text"])
        task = make_task({"type": "causal_lm"}, tokenizer, max_length)
    picked = np.random.default_rng(seed).permutation(len(table))[: beginning.rows]
    return task, table.iloc[np.sort(picked)].reset_index(drop=True)


def _read(path: Path) -> pd.DataFrame:
    """Read a task's rows.

    Raises:
        InputError: No such file, damaged, without rows, or without columns that make a task.
    """
    expected = "a table with columns text and label, prompt and response, or text"
    try:
        table = read_table(path)
    except OSError as error:
        got, remedy = f"{path}: {error.strerror}", "correct the path"
        raise input_error(
            "no such table", where="--task", got=got, expected=expected, remedy=remedy
        ) from None
    columns = {*table.columns}
    if table.empty or not ({"text"} <= columns or {"prompt", "response"} <= columns):
        raise input_error(
            "no rows to begin on",
            where="--task",
            got=f"{path}: {len(table)} rows with columns {', '.join(map(str, table.columns))}",
            expected=expected,
            remedy="name its columns so",
        )
    return table


def _labels(folder: Path, found: list[str]) -> list[str]:
    """Order the labels as the checkpoint's own head does, where it has one for them."""
    own: Any = AutoConfig.from_pretrained(folder, local_files_only=True).id2label or {}
    ordered = [str(own[index]) for index in sorted(own)]
    return ordered if sorted(ordered) == found else found
