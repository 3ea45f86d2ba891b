"""Reading data/dataset: what it is, and its splits."""

from pathlib import Path
from typing import Any, Literal

import pandas as pd

from adarank.errors import input_error
from stages.files import read_json, read_parquet

DATASET = Path("data/dataset")

Split = Literal["train", "validation", "test"]


def read_description() -> dict[str, Any]:
    """Read dataset.json: the task and what it needs to know of the data."""
    return read_json(DATASET / "dataset.json")


def read_split(split: Split) -> pd.DataFrame:
    """Read one split's rows.

    Raises:
        InputError: The file is absent or damaged, or has no row.
    """
    path = DATASET / f"{split}.parquet"
    rows = read_parquet(path)[0]
    if rows.empty:
        raise input_error(
            "split without rows",
            where=str(path),
            got=0,
            expected="at least 1 row",
            remedy="check dataset.source and dataset.splits",
        )
    return rows
