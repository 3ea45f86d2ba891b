"""Score tables: one row per module and trial, and their summary per module."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from adarank.modules import Module

COLUMNS = ("module", "block", "kind", "d_in", "d_out", "parameters_per_rank", "trial", "score")


def score_table(modules: Sequence[Module], scores: np.ndarray) -> pd.DataFrame:
    """Lay out scores as a table.

    Args:
        modules: The scored modules, in order.
        scores: Shape (n_modules, n_trials).

    Returns:
        Columns COLUMNS, n_modules * n_trials rows, modules in the given order.
    """
    rows = [
        (m.name, m.block, m.kind, m.d_in, m.d_out, m.parameters_per_rank, trial, float(value))
        for m, values in zip(modules, scores, strict=True)
        for trial, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Reduce a score table to the mean and its standard error per module.

    Returns:
        Columns module, block, kind, mean, standard_error (sd / sqrt(n_trials), ddof 1;
        NaN for one trial), a row per module in the table's order.
    """
    groups = table.groupby(["module", "block", "kind"], sort=False)["score"]
    result = groups.agg(mean="mean", standard_error="sem")
    return result.reset_index()
