"""What merges measured, metrics/cells/merged/METHOD.json: written for DVC to draw, read whole."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from adarank.pipeline.files.whole import Record, read_record, write_drawable

MERGED = Path("data/merged")
MERGED_CELLS = Path("metrics/cells/merged")
"""Among the cells: a stage cannot depend on a folder that no stage makes in a study of none."""

_LISTS = ("chosen", "failed", "kept", "seeds")


class Row(Record):
    """What is recorded of a seed and task; its metrics lie beside."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float | None]  # pyright: ignore[reportIncompatibleVariableOverride]

    seed: int
    task: str
    n: int
    headline: float | None


class Failure(Record):
    """A seed without a merge, and why."""

    seed: int
    error: str


class Kept(Record):
    """What one seed's masks keep of one member in one weight.

    Attributes:
        weight: Its name.
        task: The member's.
        mask: A character a component, the largest first: 1 kept, 0 not.
        scaling: lambda.
    """

    weight: str
    task: str
    mask: str
    scaling: float


class FailedMerge(Record):
    """What data/merged holds of a seed without a merge."""

    error: str


class Measure(Record):
    """A task's headline metric, and which way it improves."""

    metric: str
    better: Literal["higher", "lower"]


class MergedForm(Record):
    """What is read of a merge; an empty list is written as null."""

    merge: str
    method: str
    learned: bool
    transductive: bool
    strategy: str
    budget: float
    parameters: int | None
    tasks: dict[str, Measure]
    chosen: list[dict[str, Any]] | None = None
    failed: list[Failure] | None = None
    kept: list[Kept] | None = None
    seeds: list[Row] | None = None


def write_merged(record: dict[str, Any]) -> None:
    """Write a merge's record, null for every empty list."""
    write_drawable(MERGED_CELLS / f"{record['merge']}.json", record)


def read_merged(name: str) -> dict[str, Any]:
    """Read a merge's record, its lists as lists; InputError if it is absent or of another form."""
    record = read_record(MERGED_CELLS / f"{name}.json", MergedForm)
    return record | {key: record.get(key) or [] for key in _LISTS}
