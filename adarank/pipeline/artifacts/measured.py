"""What a cell measured, metrics/cells/TASK/S-B.json: written for DVC to draw, read whole."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, ValidationInfo, field_validator

from adarank.errors import input_error
from adarank.pipeline.files.whole import Record, read_record, write_drawable

CELLS = Path("metrics/cells")

_LISTS = ("failed", "gap", "seeds", "tuned")


class Row(Record):
    """What is recorded of a seed and split; its metrics lie beside."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float | None]  # pyright: ignore[reportIncompatibleVariableOverride]

    seed: int
    split: Literal["train", "validation", "test"]
    n: int
    headline: float | None


class Failure(Record):
    """A seed that did not finish, and why."""

    seed: int
    error: str


class CellForm(Record):
    """What is read of a cell; an empty list is written as null."""

    cell: str
    task: str
    strategy: str
    budget: float
    tuner: str
    note: str = ""
    unit: str | None = None
    headline: str
    better: Literal["higher", "lower"]
    trainable_parameters: int
    peak_parameters: int
    mean_parameters: int | None = None
    head_parameters: int
    learning_rate: float
    rate_ratio: float | None = None
    tuned: list[dict[str, Any]] | None
    failed: list[Failure] | None = None
    seeds: list[Row] | None

    @field_validator("seeds")
    @classmethod
    def _something_came_of_it(cls, rows: list[Row] | None, info: ValidationInfo) -> object:
        if not rows and not info.data.get("failed"):
            raise ValueError("neither a seed that was measured nor one that failed")
        return rows


def write_cell(record: dict[str, Any]) -> None:
    """Write a cell's record, null for every empty list."""
    write_drawable(CELLS / f"{record['cell']}.json", record)


def read_cell(name: str) -> dict[str, Any]:
    """Read a cell's record, its lists as lists.

    Raises:
        InputError: It is absent, damaged, of another form, or another cell's.
    """
    path = CELLS / f"{name}.json"
    record = read_record(path, CellForm)
    if record["cell"] != name:
        raise input_error(
            "another cell's measurements",
            where=str(path),
            got=f"those of {record['cell']}",
            expected=f"those of {name}",
            remedy="delete it and run `dvc repro`, which measures again",
        )
    return record | {key: record.get(key) or [] for key in _LISTS}
