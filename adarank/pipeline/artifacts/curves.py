"""The training curves' small forms: a cell's losses by look at validation, and ranks by step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adarank.pipeline.files.tables import read_tsv

_COLUMNS = ["seed", "step", "split", "loss", "effective_rank"]


def looks(curves: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Sum up curves by look at validation, for a figure.

    Args:
        curves: By seed, a row per optimiser step, with step, train_loss and, at each look,
            validation_loss and, of adapters, effective_rank.

    Returns:
        A row per seed, look and split (train, validation): seed, step, split, loss,
        effective_rank. Train's loss is the mean over the steps since the look before.
    """
    rows = [table for seed, curve in curves.items() for table in _of_one(seed, curve)]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=_COLUMNS)


def rank_history(changes: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Lay the ranks of a run whose ranks change out as a table.

    Args:
        changes: As trained.json has them under `rank_changes`.

    Returns:
        A row per change and module: step (after which), change, module, rank.

    Example:
        >>> rank_history([{"step": 0, "change": "start", "ranks": {"q": 1}}]).values.tolist()
        [[0, 'start', 'q', 1]]
    """
    rows = [
        (one["step"], one["change"], module, rank)
        for one in changes
        for module, rank in sorted(one["ranks"].items())
    ]
    return pd.DataFrame(rows, columns=["step", "change", "module", "rank"])


def _of_one(seed: int, curve: pd.DataFrame) -> list[pd.DataFrame]:
    looked = curve["validation_loss"].notna()
    # Steps up to and with a look belong to it; those after the last one to none.
    before = looked.shift(fill_value=False).cumsum()
    since = pd.Series(curve.groupby(before)["train_loss"].mean())
    at = curve[looked].reset_index(drop=True)
    losses = {"train": since.iloc[: len(at)], "validation": at["validation_loss"]}
    rank = at.get("effective_rank", pd.Series(float("nan"), at.index))
    same = {"seed": seed, "step": at["step"], "effective_rank": rank}
    return [
        pd.DataFrame(same | {"split": split, "loss": loss}, columns=_COLUMNS)
        for split, loss in losses.items()
    ]


def read_curves(folder: Path) -> dict[int, pd.DataFrame]:
    """Read the curves of the seeds that did not fail, by seed."""
    found = {int(path.stem.removeprefix("seed-")): path for path in folder.glob("seed-*.tsv")}
    return {seed: read_tsv(found[seed]) for seed in sorted(found)}
