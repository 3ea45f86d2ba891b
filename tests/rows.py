"""Datasets as a source would give them, and the sections that ask for them."""

from pathlib import Path

import pandas as pd

from adarank.pipeline.datasets.normalised import Rules
from adarank.pipeline.datasets.raw import Columns, Raw
from adarank.pipeline.datasets.splits import Carving

SECTION = {
    "source": "builtin:questions",
    "splits": {"train": "train", "validation": None, "test": "test"},
    "type": "classification",
    "text_key": "text",
    "pair_key": None,
    "target_key": "label",
    "templates": [],
    "target_words": {},
    "train_rows": None,
    "num_classes": None,
    "bad_rows": "refuse",
    "validation_fraction": 0.1,
    "test_fraction": None,
    "validation_seed": 0,
    "encoding": "utf-8",
    "separator": None,
    "sha256": {},
}


def frame(rows: list[tuple], names: tuple[str, ...] = ("text", "label")) -> pd.DataFrame:
    """A split's raw table."""
    return pd.DataFrame(rows, columns=list(names), dtype=object)


def raw(
    names: tuple[str, ...] = ("text", "label"),
    classes: tuple[str, ...] | None = None,
    **splits: list[tuple],
) -> Raw:
    """A raw dataset of the splits given, a tuple a row with values of the columns named."""
    return Raw({split: frame(rows, names) for split, rows in splits.items()}, classes)


def rules(columns: Columns | None = None, *, drop: bool = False, **others) -> Rules:
    """Rules for columns `text` and `label`, nothing carved."""
    return Rules(columns or Columns("text", "label"), drop, **others)


def carved(validation: float, test: float | None = None, seed: int = 0) -> Carving:
    """A carving of one or two splits."""
    fractions = {"validation": validation} | ({} if test is None else {"test": test})
    return Carving(fractions, seed)


def write(path: Path, rows: list[tuple], names: tuple[str, ...] = ("text", "label")) -> None:
    """Write rows as the path's suffix says."""
    table = pd.DataFrame(rows, columns=list(names))
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix in (".json", ".jsonl"):
        table.to_json(path, orient="records", lines=path.suffix == ".jsonl")
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
