"""Drawing some of a split's rows, of each class its share."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.errors import input_error
from adarank.pipeline.datasets.keys import key

Ids = NDArray[np.int64]


def labels_of(frame: pd.DataFrame) -> Ids | None:
    """Return the class id of every row; None where some row has none."""
    labels: Ids = frame["label"].to_numpy() if "label" in frame else np.array([-1])
    return None if np.any(labels < 0) else labels


def sample(frame: pd.DataFrame, rows: int | None, seed: int, split: str) -> pd.DataFrame:
    """Draw rows at random, none twice; they keep their order.

    Of every class, where every row has one, its share is drawn, and at least one row where there
    are as many rows as classes.

    Args:
        frame: The split's usable rows.
        rows: How many are kept; None for all.
        seed: Decides which.
        split: Its name.

    Raises:
        InputError: Fewer rows than asked for, or, of train, fewer asked for than there are classes.
    """
    if rows is None:
        return frame
    labels = labels_of(frame)
    classes = 1 if labels is None else len(np.unique(labels))
    least = classes if split == "train" else 1
    if not least <= rows <= len(frame):
        few = rows < least
        raise input_error(
            "fewer rows than classes" if few else f"the {split} split has fewer rows",
            where=key(f"{split}_rows"),
            got=rows,
            expected=f"at least {least}" if few else f"at most {len(frame)}, its usable rows",
            remedy="a larger number" if few else "null for all of them",
        )
    strata = np.zeros(len(frame), dtype=np.int64) if labels is None else labels
    order = np.random.default_rng(seed).permutation(len(frame))
    taken = [
        order[strata[order] == label][:quota]
        for label, quota in enumerate(quotas(np.bincount(strata), rows))
    ]
    return frame.iloc[np.sort(np.concatenate(taken))].reset_index(drop=True)


def quotas(counts: Ids, rows: int) -> Ids:
    """Share rows out to classes by largest remainders.

    Each class that occurs has at least one where there are as many rows as such classes.

    >>> quotas(np.array([90, 9, 1]), 10)
    array([8, 1, 1])
    """
    shares = rows * counts / counts.sum()
    least = np.where(counts > 0, int(rows >= np.count_nonzero(counts)), 0)
    found = np.maximum(np.floor(shares).astype(np.int64), least)
    while found.sum() < rows:
        found[np.argmax(shares - found)] += 1
    while found.sum() > rows:
        found[np.argmax(np.where(found > least, found - shares, -np.inf))] -= 1
    return found
