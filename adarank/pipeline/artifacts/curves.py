"""The training curves' small form: a cell's losses by look at validation, for one chart."""

from collections.abc import Mapping

import pandas as pd


def looks(curves: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Sum up curves by look at validation, for a figure.

    Args:
        curves: By seed, a row per optimiser step, with step, train_loss and, at each look,
            validation_loss.

    Returns:
        A row per seed, look and split (train, validation): seed, step, split, loss. Train's loss
        is the mean over the steps since the look before.
    """
    rows = [table for seed, curve in curves.items() for table in _of_one(seed, curve)]
    columns = ["seed", "step", "split", "loss"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def _of_one(seed: int, curve: pd.DataFrame) -> list[pd.DataFrame]:
    looked = curve["validation_loss"].notna()
    # Steps up to and with a look belong to it; those after the last one to none.
    before = looked.shift(fill_value=False).cumsum()
    since = pd.Series(curve.groupby(before)["train_loss"].mean())
    at = curve[looked].reset_index(drop=True)
    losses = {"train": since.iloc[: len(at)], "validation": at["validation_loss"]}
    return [
        pd.DataFrame({"seed": seed, "step": at["step"], "split": split, "loss": loss})
        for split, loss in losses.items()
    ]
