"""Wrong labels put in on purpose, into train alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def flip(train: pd.DataFrame, share: float, seed: int, classes: int) -> pd.DataFrame:
    """Give a share of the rows another class, drawn evenly from all others: symmetric noise.

    Args:
        train: With the column `label`, class ids from 0.
        share: Of the rows, rounded to whole ones.
        seed: Decides which rows, and their new classes.
        classes: How many there are, at least 2, whether or not these rows have them all.

    Returns:
        The same rows in the same order; those flipped are chosen at random, whatever their class.

    Example:
        >>> rows = pd.DataFrame({"text": list("abcd"), "label": [0, 0, 1, 1]})
        >>> int((flip(rows, 0.5, seed=0, classes=2)["label"] != rows["label"]).sum())
        2
    """
    labels = train["label"].to_numpy(copy=True)
    draws = np.random.default_rng(seed)
    rows = draws.permutation(len(labels))[: round(share * len(labels))]
    labels[rows] = (labels[rows] + draws.integers(1, classes, len(rows))) % classes
    return train.assign(label=labels)


def noise_in_words(description: Mapping[str, Any]) -> list[str]:
    """Describe how many labels of train are wrong on purpose; nothing where none is.

    Args:
        description: What task.json holds.
    """
    noise = description.get("label_noise")
    if not noise:
        return []
    rows = description["rows"]["train"]
    return [f"{noise['rows']} of {rows} labels of train are wrong on purpose (label_noise)"]
