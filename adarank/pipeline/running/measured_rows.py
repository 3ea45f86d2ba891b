"""What is measured of predictions: the rows that count, their metrics, and what is not finite."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from adarank.tasks.base import Task, counted


def non_finite(tables: Mapping[str, pd.DataFrame]) -> str | None:
    """Describe the first table with predictions that are not finite; None without any.

    Whatever is not finite in a prediction makes its loss so. Rows of which nothing counts have
    none, and are no fault.

    Args:
        tables: Predictions by split, or by task.
    """
    for name, table in tables.items():
        bad = int((~np.isfinite(counted(table)["loss"].to_numpy(dtype="float64"))).sum())
        if bad:
            return f"{name}: {bad} of {len(table)} predictions are not finite"
    return None


def measured_row(
    task: Task, seed: int, about: Mapping[str, str], table: pd.DataFrame
) -> dict[str, Any]:
    """Measure a table of predictions.

    Args:
        task: Measures.
        seed: The run's.
        about: What else the row is of: its split, or task.
        table: The predictions.

    Returns:
        seed, `about`, n (the rows that count), headline, and every metric by its name.
    """
    metrics = task.metrics(table)
    # The headline has a name of its own beside, for figures drawn alike for every task.
    n, headline = len(counted(table)), metrics[task.headline]
    return {"seed": seed, **about, "n": n, "headline": headline, **metrics}
