"""Means, intervals and paired comparisons over seeds.

A few seeds are a small sample, so every interval is Student's t. With a single seed nothing is
known of the spread: the fields that would say so are None, never zero and never NaN.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import stdtrit

from adarank.errors import run_error

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """A mean and how well it is known.

    Attributes:
        n: How many values it rests on.
        mean: Their arithmetic mean, in the unit of the values.
        sd: Their standard deviation with n - 1 in the denominator; None if n is 1.
        low: Lower end of the interval for the mean; None if n is 1.
        high: Upper end of the interval for the mean; None if n is 1.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Paired:
    """A difference between two settings, taken within each pair.

    Attributes:
        difference: Mean of first minus second over the pairs; None where no pair is whole.
        unpaired: Keys, in sorted order, that only one of the two settings has.
    """

    difference: Estimate | None
    unpaired: tuple[object, ...]


def estimate(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Estimate a mean with its interval.

    mean +- t(1 - (1 - confidence) / 2, n - 1) * sd / sqrt(n) (Student 1908, Biometrika 6:1).

    Args:
        values: One number per seed, shape (n,), n at least 1.
        confidence: How often such an interval holds the true mean, within (0, 1).

    Raises:
        ValueError: No values, or a confidence outside (0, 1).
        RunError: A value that is not finite.
    """
    if not values or not 0 < confidence < 1:
        raise ValueError(f"{len(values)} values at confidence {confidence}")
    _require_finite(values)
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Estimate(1, mean, None, None, None)
    sd = float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * sd / math.sqrt(n)
    return Estimate(n, mean, sd, mean - half, mean + half)


def paired(
    first: Mapping[Key, float], second: Mapping[Key, float], confidence: float = 0.95
) -> Paired:
    """Compare two settings pair by pair: what both share, such as a seed's luck, cancels.

    Args:
        first: A value for each key (the seed).
        second: A value for each key; the difference is first minus second.
        confidence: As in `estimate`.

    Raises:
        RunError: A value that is not finite.
    """
    shared = sorted(first.keys() & second.keys(), key=repr)
    unpaired = tuple(sorted(first.keys() ^ second.keys(), key=repr))
    differences = [first[key] - second[key] for key in shared]
    return Paired(estimate(differences, confidence) if differences else None, unpaired)


def _require_finite(values: Sequence[float]) -> None:
    bad = [index for index, value in enumerate(values) if not math.isfinite(value)]
    if bad:
        raise run_error(
            "a value that is not finite has no mean",
            where=f"value {bad[0] + 1} of {len(values)}",
            got=values[bad[0]],
            expected="finite numbers",
            remedy="see the training curve of that seed: a diverged run must not be averaged",
        )
