"""The metrics that tasks are compared by, of one table of predictions or of many at once.

Tasks measure with these, and so does the bootstrap, which draws a table's rows thousands of
times: each works on arrays whose last axis is the rows, and leaves the axes before it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One metric of a predictions table.

    Attributes:
        columns: The columns that it is computed from.
        of: Computes it: an array a column, each of shape (..., n_rows), to shape (...).
        by_row: Where the metric is a mean over rows, computes the value of each row from the same
            arrays; None for other metrics.
    """

    columns: tuple[str, ...]
    of: Callable[..., Floats]
    by_row: Callable[..., Array] | None = None

    def arrays(self, predictions: pd.DataFrame) -> list[Array]:
        """Return the columns of a table, each of shape (n_rows,)."""
        return [predictions[name].to_numpy() for name in self.columns]

    def __call__(self, predictions: pd.DataFrame) -> float:
        """Measure a table."""
        return float(self.of(*self.arrays(predictions)))


def _share_equal(label: Array, predicted: Array) -> Floats:
    return (label == predicted).mean(-1)


def _share(right: Array) -> Floats:
    return right.mean(-1)


def _ratio(above: Array, below: Array) -> Floats:
    return above.sum(-1) / below.sum(-1)


def _pearson(label: Array, predicted: Array) -> Floats:
    with warnings.catch_warnings():
        # Drawn rows may all be the same number; the correlation is then NaN, and said to be.
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        found: Any = stats.pearsonr(label, predicted, axis=-1)
        return np.asarray(found.statistic)


accuracy = Measure(("label", "predicted"), _share_equal, np.equal)
"""The share of rows whose label was predicted."""

exact_match = Measure(("exact",), _share, np.asarray)
"""The share of rows whose answer is the target to the letter."""

loss_per_token = Measure(("nats", "tokens"), _ratio)
"""Loss over all tokens of all rows, in nats; every token weighs the same."""

pearson = Measure(("label", "predicted"), _pearson)
"""Pearson's correlation; NaN where either column is constant."""

HEADLINES = {
    "accuracy": accuracy,
    "exact_match": exact_match,
    "loss": loss_per_token,
    "pearson": pearson,
}
"""The tasks' headline metrics, by name."""
