"""Dividing a dataset: rows sampled, and splits carved from train that a source does not have."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.errors import InputError, input_error
from adarank.pipeline.datasets.dividing.overlap import text_of
from adarank.pipeline.datasets.dividing.sampling import labels_of, sample
from adarank.pipeline.datasets.keys import key

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """What is sampled, and what is carved from train.

    Attributes:
        fractions: By split, the part of train's texts that it becomes; together below one half.
        rows: By split, how many of its rows are kept, drawn at random.
        seed: Decides which rows those are.
    """

    fractions: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    seed: int = 0


def divide(frames: dict[str, pd.DataFrame], division: Division) -> dict[str, pd.DataFrame]:
    """Sample train, carve from it the splits that are missing, and sample the others.

    Args:
        frames: The table `train`, and those there are already.
        division: What is to be done.

    Raises:
        InputError: Too few rows to sample or to carve from.
    """

    def drawn(split: str, frame: pd.DataFrame) -> pd.DataFrame:
        return sample(frame, division.rows.get(split), division.seed, split)

    parts = carve(frames | {"train": drawn("train", frames["train"])}, division)
    return {split: p if split == "train" else drawn(split, p) for split, p in parts.items()}


def carve(frames: dict[str, pd.DataFrame], division: Division) -> dict[str, pd.DataFrame]:
    """Divide train, one split after the other; no row is in two of them, and none is lost.

    Rows of one text (or pair of texts, see `overlap.text_of`) stay together, or a model would be
    measured on what it was trained on. A fraction is one of texts: of rows, where none is there
    twice. Where every row has a label, each label's share is alike in all parts, and a label with
    a single text stays in train, since validating what was never trained on says nothing; a text
    with several labels counts for the rarest. Rows keep their order.

    Args:
        frames: The table `train`, and those there are already.
        division: Which splits are made of it, in this order.

    Returns:
        The tables given, with train's remainder and the carved splits.

    Raises:
        InputError: Too few texts for a split, or for each label to be in it.
    """
    train = frames["train"]
    if not division.fractions:
        return frames
    groups: Ids = pd.factorize(np.array(text_of(train), dtype=object))[0].astype(np.int64)
    labels = labels_of(train)
    # Half of the start of every stage that only reads how a task is divided.
    from sklearn.model_selection import train_test_split

    strata = None if labels is None else _strata(labels, groups)
    left: Ids = np.arange(groups.max() + 1)
    carved: dict[str, Ids] = {}
    for split, fraction in division.fractions.items():
        part = _movable(left, groups, labels, strata)
        size = round(fraction * len(_movable(np.arange(groups.max() + 1), groups, labels, strata)))
        if not _enough(part, size, strata):
            raise _too_few(len(train), strata, split, size, fraction)
        stratify = None if strata is None else strata[part]
        _, taken = train_test_split(
            part, test_size=size, stratify=stratify, random_state=division.seed
        )
        carved[split] = np.asarray(taken)
        left = np.setdiff1d(left, taken)
    parts = {"train": left} | carved
    return frames | {
        split: train.loc[np.isin(groups, part)].reset_index(drop=True)
        for split, part in parts.items()
    }


def _strata(labels: Ids, groups: Ids) -> Ids:
    """The rarest label of each group."""
    table = pd.DataFrame({"group": groups, "label": labels, "rows": np.bincount(labels)[labels]})
    rarest = table.sort_values(["rows", "label"], kind="stable").groupby("group")["label"].first()
    return rarest.to_numpy()


def _movable(left: Ids, groups: Ids, labels: Ids | None, strata: Ids | None) -> Ids:
    """Those of the groups left that train can do without: all their labels are in others too."""
    if labels is None or strata is None or not len(left):
        return left
    several = np.bincount(strata[left], minlength=labels.max() + 1) > 1
    needed = np.unique(groups[~several[labels]])
    movable = np.setdiff1d(left, needed)
    if not len(movable):
        return movable
    return movable[np.bincount(strata[movable])[strata[movable]] > 1]


def _enough(part: Ids, size: int, strata: Ids | None) -> bool:
    parts = 1 if strata is None else max(1, len(np.unique(strata[part])))
    return parts <= size <= len(part) - parts


def _too_few(rows: int, strata: Ids | None, split: str, size: int, fraction: float) -> InputError:
    needed: Any = "1 row" if strata is None else f"{len(np.unique(strata))} rows, one a label"
    texts = "" if strata is None or len(strata) == rows else f" ({len(strata)} texts)"
    return input_error(
        f"too few rows to carve a {split} split from train",
        where=key(f"{split}_fraction"),
        got=f"{fraction} of {rows} rows{texts} is {size}",
        expected=f"at least {needed}",
        remedy=f"name a {split} split, or a larger fraction, or more rows",
    )
