"""A paired bootstrap over test rows and seeds, which are crossed: every seed met the same rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from adarank.tasks.measures import Array, Floats, Measure

RESAMPLES = 2000

_NUMBERS_AT_ONCE = 2**20

Places = NDArray[np.intp]


def on_drawn_rows(
    measure: Measure,
    tables: Sequence[Sequence[Array]],
    n_rows: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Floats:
    """Measure tables on rows drawn with replacement, in each resample the same of every table.

    Args:
        measure: The metric.
        tables: Each a cell's predictions with one seed: the measure's columns, each of shape
            (n_rows,), in an order of the rows that all tables share.
        n_rows: How many rows every table has.
        resamples: How many times rows are drawn.
        seed: Decides the draws.

    Returns:
        Shape (resamples, n_tables); NaN where drawn rows leave the metric undefined.
    """
    parts = [
        np.stack([measure.of(*(column[rows] for column in table)) for table in tables], axis=-1)
        for rows in _draws(n_rows, resamples, seed)
    ]
    return np.concatenate(parts)


def interval(
    first: Floats, second: Floats, confidence: float = 0.95, seed: int = 1
) -> tuple[float, float] | None:
    """Give the percentile interval of a mean paired difference, over rows and seeds at once.

    Each resample draws rows and, apart from them, seeds (Owen and Eckles 2012, Bootstrapping data
    arrays of arbitrary order, arXiv 1106.2125), for both cells alike. A few seeds drawn with
    replacement spread less than the seeds there might have been, so at small n this interval is
    rather too narrow; Student's over the seeds stands beside it.

    Args:
        first: A cell's metric by resample of rows and seed, from `on_drawn_rows`, shape
            (resamples, n_seeds).
        second: The other's, for the same seeds in the same order.
        confidence: Share of the resamples within the interval.
        seed: Decides which seeds are drawn.

    Returns:
        Its ends; None where drawn rows left the metric of either undefined.
    """
    differences = first - second
    if not np.isfinite(differences).all():
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.integers(differences.shape[1], size=differences.shape)
    means = np.take_along_axis(differences, drawn, axis=1).mean(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _draws(n_rows: int, resamples: int, seed: int) -> Iterator[Places]:
    """Draw rows a few resamples at a time, since all at once could fill the memory."""
    rng = np.random.default_rng(seed)
    size = max(1, _NUMBERS_AT_ONCE // n_rows)
    for at in range(0, resamples, size):
        yield rng.integers(n_rows, size=(min(size, resamples - at), n_rows))
