"""What a cell measured, metrics/cells/CELL.json: written so that DVC can draw it, read whole."""

from pathlib import Path
from typing import Any

from stages.files import read_json, write_json

CELLS = Path("metrics/cells")

_LISTS = ("failed", "gap", "seeds", "tuned")


def write_record(record: dict[str, Any]) -> None:
    """Write a cell's record, null for every empty list: DVC 3 draws no JSON that has one in it."""
    shown = {key: None if value == [] else value for key, value in record.items()}
    write_json(CELLS / f"{record['cell']}.json", shown)


def read_record(name: str) -> dict[str, Any]:
    """Read a cell's record, its lists as lists.

    Raises:
        InputError: It is absent or damaged.
    """
    record = read_json(CELLS / f"{name}.json")
    return record | {key: record.get(key) or [] for key in _LISTS}
