"""Reading data/tasks/TASK: what is learned there, and its splits."""

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from adarank.errors import InputError, input_error
from adarank.pipeline.artifacts.places import TASKS_FOLDER
from adarank.pipeline.files.tables import read_parquet
from adarank.pipeline.files.whole import Record, read_record
from adarank.tasks.catalogue import TASKS, Rows

DESCRIPTION = "task.json"

Split = Literal["train", "validation", "test"]

_TEXTS = ("text", "pair", "prompt", "response")
_COLUMNS: dict[Rows, tuple[str, ...]] = {
    "labels": ("text", "label"),
    "numbers": ("text", "target"),
    "texts": ("prompt", "response"),
    "words": ("text", "target"),
}


class Description(Record):
    """What later stages read of task.json."""

    type: str
    labels: list[str] | None = None


def task_folder(task: str) -> Path:
    """Name the folder of a task's rows and description."""
    return TASKS_FOLDER / task


def read_description(task: str) -> dict[str, Any]:
    """Read task.json: the task's type and what it needs to know of the data."""
    return read_record(task_folder(task) / DESCRIPTION, Description)


def read_split(task: str, split: Split) -> pd.DataFrame:
    """Read the rows of one split of a task.

    Raises:
        InputError: The file is absent or damaged, has no row, or not those of the task.
    """
    path = task_folder(task) / f"{split}.parquet"
    rows = read_parquet(path)[0]
    if rows.empty:
        raise input_error(
            "split without rows",
            where=str(path),
            got=0,
            expected="at least 1 row",
            remedy=f"check tasks.{task}.source and tasks.{task}.splits",
        )
    _check_rows(rows, path, read_description(task))
    return rows


def _check_rows(rows: pd.DataFrame, path: Path, description: dict[str, Any]) -> None:
    """Check a table against what download writes: training would not notice a damaged one."""
    if description["type"] not in TASKS:
        return
    kind = TASKS[description["type"]].rows
    missing = [column for column in _COLUMNS[kind] if column not in rows]
    if missing:
        raise _other_rows(path, ", ".join(map(str, rows.columns)), ", ".join(_COLUMNS[kind]))
    highest = len(description.get("labels") or ()) - 1
    for column in sorted({*_COLUMNS[kind], *_TEXTS} & {*rows.columns}):
        fits, expected = _fitting(column, kind, highest)
        wrong = [at for at, value in enumerate(rows[column].tolist()) if not fits(value)]
        if wrong:
            got = f"row {wrong[0]}: {rows[column].tolist()[wrong[0]]!r} ({len(wrong)} such rows)"
            raise _other_rows(f"{path}: {column}", got, expected)


def _fitting(column: str, kind: Rows, highest: int) -> tuple[Callable[[Any], bool], str]:
    """What a column's values must be: a test of one, and its name in words."""
    if column == "label":
        label = f"a whole number, 0 to {highest}"
        return lambda value: isinstance(value, int) and 0 <= value <= highest, label
    if kind == "numbers" and column == "target":
        return lambda value: isinstance(value, float) and isfinite(value), "a finite number"
    return lambda value: isinstance(value, str), "text"


def _other_rows(where: Path | str, got: str, expected: str) -> InputError:
    return input_error(
        "not the rows that download writes for this task",
        where=str(where),
        got=got,
        expected=expected,
        remedy="delete the task's folder and run `dvc repro`, which fetches it again",
    )


def sampled(rows: pd.DataFrame, wanted: int | None) -> pd.DataFrame:
    """Return so many rows, in their order: the same ones for every cell, method and seed.

    Args:
        rows: A split's.
        wanted: How many at most; None for all.
    """
    if wanted is None or wanted >= len(rows):
        return rows
    picked = np.random.default_rng(0).permutation(len(rows))[:wanted]
    return rows.iloc[np.sort(picked)]
