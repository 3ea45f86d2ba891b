"""Carving from train the splits that a source does not have."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from adarank.errors import InputError, input_error

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Carving:
    """What is to be carved.

    Attributes:
        fractions: By split, the part of train's rows that it becomes; together below one half.
        seed: Decides which rows those are.
    """

    fractions: dict[str, float] = field(default_factory=dict)
    seed: int = 0


def carve(frames: dict[str, pd.DataFrame], carving: Carving) -> dict[str, pd.DataFrame]:
    """Divide train, one split after the other; no row is in two of them, and none is lost.

    Where every row has a label, each label's share is alike in all parts, and a label with a
    single row stays in train, since validating what was never trained on says nothing. Rows keep
    their order.

    Args:
        frames: The table `train`, and those there are already.
        carving: Which splits are made of it, in this order.

    Returns:
        The tables given, with train's remainder and the carved splits.

    Raises:
        InputError: Too few rows for a split, or for each label to be in it.
    """
    train = frames["train"]
    labels = _labels(train)
    left: Rows = np.arange(len(train))
    carved: dict[str, Rows] = {}
    for split, fraction in carving.fractions.items():
        part = _several(left, labels)
        size = round(fraction * len(_several(np.arange(len(train)), labels)))
        if not _enough(part, size, labels):
            raise _too_few(train, labels, split, size, fraction)
        stratify = None if labels is None else labels[part]
        _, taken = train_test_split(
            part, test_size=size, stratify=stratify, random_state=carving.seed
        )
        carved[split] = np.sort(taken)
        left = np.setdiff1d(left, taken)
    parts = {"train": left} | carved
    return frames | {
        split: train.take(rows).reset_index(drop=True) for split, rows in parts.items()
    }


def _labels(train: pd.DataFrame) -> Rows | None:
    labels: Rows = train["label"].to_numpy() if "label" in train else np.array([-1])
    return None if np.any(labels < 0) else labels


def _several(rows: Rows, labels: Rows | None) -> Rows:
    """Those of the rows whose label another of them has, too."""
    if labels is None or not len(rows):
        return rows
    return rows[np.bincount(labels[rows])[labels[rows]] > 1]


def _enough(rows: Rows, size: int, labels: Rows | None) -> bool:
    parts = 1 if labels is None else max(1, len(np.unique(labels[rows])))
    return parts <= size <= len(rows) - parts


def _too_few(
    train: pd.DataFrame, labels: Rows | None, split: str, size: int, fraction: float
) -> InputError:
    needed: Any = "1 row" if labels is None else f"{len(np.unique(labels))} rows, one a label"
    return input_error(
        f"too few rows to carve a {split} split from train",
        where=f"dataset.{split}_fraction",
        got=f"{fraction} of {len(train)} rows is {size}",
        expected=f"at least {needed}",
        remedy=f"name a {split} split, or a larger fraction, or more rows",
    )
