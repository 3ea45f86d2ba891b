"""Intervals that hold for other test rows as well as for other seeds.

Rows and seeds are crossed: every seed is measured on the same rows. A resampling of both counts
their interaction several times (Owen 2007, The pigeonhole bootstrap, arXiv 0712.1111), so the
variance is composed of its parts instead.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[Any]
Floats = NDArray[np.float64]
Metric = Callable[..., Floats]
"""Computes a metric: an array per column, each of shape (..., n_rows), to shape (...)."""

RESAMPLES = 2000

_NUMBERS_AT_ONCE = 2**20


def interval(
    differences: Floats, row_covariance: Floats, n_rows: int, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Compute the interval of a mean paired difference over rows and seeds.

    In the two-way model d[r, s] = mean + row[r] + seed[s] + interaction[r, s] the mean over R rows
    and S seeds has the variance

        var_row / R + var_seed / S + var_interaction / (R S).

    The variance of the seeds' differences over S estimates the last two terms. Sampling the rows
    gives all seeds the same rows, so it makes the seeds' differences covary by exactly
    var_row / R, the first term. Degrees of freedom by Satterthwaite (1946, Biometrics Bulletin
    2:110). With very few seeds that approximation is a little narrow; the interval is therefore
    never narrower than Student's over the seeds alone.

    Args:
        differences: The metric's paired difference by seed, on all rows, shape (n_seeds,).
        row_covariance: Covariance of these differences under sampling of the rows, shape
            (n_seeds, n_seeds); from `mean_covariance` or `bootstrap_covariance`.
        n_rows: How many test rows there are, at least 2.
        confidence: How often such an interval holds the true difference.

    Returns:
        Its ends; None for a single seed, or where sampled rows leave the metric undefined.
    """
    n = len(differences)
    if n < 2 or not np.isfinite(row_covariance).all():
        return None
    over_seeds = float(np.var(differences, ddof=1)) / n
    shared = (row_covariance.sum() - np.trace(row_covariance)) / (n * (n - 1))
    # An estimate of a variance component may fall below zero, where the component is near it.
    over_rows = max(0.0, float(shared))
    variance, mean = over_seeds + over_rows, float(np.mean(differences))
    if variance == 0:
        return mean, mean
    df = variance**2 / (over_seeds**2 / (n - 1) + over_rows**2 / (n_rows - 1))
    level = 0.5 + confidence / 2
    seeds_alone = stdtrit(n - 1, level) * math.sqrt(over_seeds)
    half = max(float(stdtrit(df, level)) * math.sqrt(variance), float(seeds_alone))
    return mean - half, mean + half


def mean_covariance(first: Floats, second: Floats) -> Floats:
    """Compute the covariance of a mean metric's differences in closed form.

    Args:
        first: A cell's value of each row and seed (0 or 1 for accuracy), shape (n_rows, n_seeds).
        second: The other cell's, for the same rows and seeds.

    Returns:
        Shape (n_seeds, n_seeds).
    """
    return np.atleast_2d(np.cov(first - second, rowvar=False)) / len(first)


def bootstrap_covariance(first: Floats, second: Floats) -> Floats:
    """Estimate the same from a metric computed on resampled rows; for F1, correlations, ratios.

    Args:
        first: A cell's metric, from `on_resampled_rows`, shape (resamples, n_seeds).
        second: The other cell's, on the same resampled rows.

    Returns:
        Shape (n_seeds, n_seeds); not finite where resampled rows leave the metric undefined.
    """
    return np.atleast_2d(np.cov(first - second, rowvar=False))


def on_resampled_rows(
    metric: Metric,
    tables: Sequence[Sequence[Array]],
    n_rows: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Floats:
    """Compute a metric on rows drawn with replacement, the same rows of every table.

    Args:
        metric: Computes the metric.
        tables: Each a cell's predictions with one seed: the metric's columns, each of shape
            (n_rows,), in an order of the rows that all tables share.
        n_rows: How many rows every table has.
        resamples: How many times rows are drawn.
        seed: Decides the draws.

    Returns:
        Shape (resamples, n_tables); NaN where drawn rows leave the metric undefined.
    """
    parts = [
        np.stack([metric(*(column[rows] for column in table)) for table in tables], axis=-1)
        for rows in _resampled(n_rows, resamples, seed)
    ]
    return np.concatenate(parts)


def _resampled(n_rows: int, resamples: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Draw rows a few resamples at a time, since all at once could fill the memory."""
    rng = np.random.default_rng(seed)
    size = max(1, _NUMBERS_AT_ONCE // n_rows)
    for at in range(0, resamples, size):
        yield rng.integers(n_rows, size=(min(size, resamples - at), n_rows))
