"""Carving a validation split from train, where the source has none."""

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from adarank.errors import InputError, input_error


def carve(train: pd.DataFrame, fraction: float, seed: int) -> dict[str, pd.DataFrame]:
    """Divide train in two, with each class's share alike in both.

    A class with a single row stays in train, since validating what was never trained on
    says nothing. Rows keep their order.

    Args:
        train: A table with a column `label`.
        fraction: Part of the rows that becomes validation, below one half.
        seed: Decides which rows those are.

    Returns:
        The tables `train` and `validation`.

    Raises:
        InputError: Too few rows for each class to be in both.
    """
    labels = train["label"].to_numpy()
    several = np.flatnonzero(np.bincount(labels)[labels] > 1)
    size = round(fraction * len(several))
    if size < max(1, len(np.unique(labels[several]))):
        raise _too_few(train, size, fraction)
    kept, carved = train_test_split(
        several, test_size=size, stratify=labels[several], random_state=seed
    )
    single = np.setdiff1d(np.arange(len(train)), several)
    rows = {"train": np.sort([*kept, *single]), "validation": np.sort(carved)}
    return {split: train.take(chosen).reset_index(drop=True) for split, chosen in rows.items()}


def _too_few(train: pd.DataFrame, size: int, fraction: float) -> InputError:
    n_classes = train["label"].nunique()
    return input_error(
        "too few rows to carve a validation split from train",
        where="dataset.validation_fraction",
        got=f"{fraction} of {len(train)} rows is {size}",
        expected=f"at least {n_classes} rows, one a class",
        remedy="name a validation split, or a larger fraction, or more rows",
    )
