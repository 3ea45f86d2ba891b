"""Means, intervals, paired comparisons over seeds, and their tests.

A few seeds are a small sample, so every interval is Student's t. A single seed gives no estimate
of the variance: the fields that depend on it are None, never zero and never NaN.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtrinc, stdtr, stdtrit

from adarank.errors import run_error

Key = TypeVar("Key", bound=Hashable)

FLIPS = 9999
"""Sign flips tried at most: all of them up to 13 pairs, a sample from 14 on."""

_DIGITS = 12


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
        difference: Mean of first minus second over the pairs; None where there is no pair.
        differences: First minus second of each pair, in the order of the sorted keys.
        unpaired: Keys, in sorted order, that only one of the two settings has.
    """

    difference: Estimate | None
    differences: tuple[float, ...]
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
    # Equal values have no spread; their mean's rounding must not make one.
    sd = float(np.std(values, ddof=1)) if len(set(values)) > 1 else 0.0
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * sd / math.sqrt(n)
    return Estimate(n, mean, sd, mean - half, mean + half)


def paired(
    first: Mapping[Key, float], second: Mapping[Key, float], confidence: float = 0.95
) -> Paired:
    """Compare two settings pair by pair: what a seed does to both of them cancels.

    Args:
        first: A value for each key (the seed).
        second: A value for each key; the difference is first minus second.
        confidence: As in `estimate`.

    Raises:
        RunError: A value that is not finite.
    """
    shared = sorted(first.keys() & second.keys(), key=repr)
    unpaired = tuple(sorted(first.keys() ^ second.keys(), key=repr))
    differences = tuple(_less(first[key], second[key]) for key in shared)
    gain = estimate(differences, confidence) if differences else None
    return Paired(gain, differences, unpaired)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Test whether paired differences are centred on zero, by flipping their signs.

    p = the share of the 2^n sign patterns whose sum is at least as far from zero as the one
    found (Fisher 1935, The Design of Experiments, section 21). No shape is assumed but symmetry.
    From 14 pairs on, a fixed sample of patterns and p = (hits + 1) / (patterns + 1) (Phipson and
    Smyth 2010, arXiv 1603.05766).

    Args:
        differences: One number per pair, shape (n,), n at least 1.

    Raises:
        ValueError: No differences.
        RunError: A difference that is not finite.

    Example:
        >>> sign_flip_p([3.0, 1.0, -2.0])
        0.75
    """
    _require_some(differences)
    values = np.asarray(differences, dtype=float)
    # Sums that differ by rounding alone are ties.
    least = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    hits = int((np.abs(_signs(len(values)) @ values) >= least).sum())
    return hits / 2 ** len(values) if _all_fit(len(values)) else (hits + 1) / (FLIPS + 1)


def sign_flip_floor(n: int) -> float:
    """Return the smallest p that `sign_flip_p` can reach with n pairs: 2 / 2^n, or the sample's."""
    return 2 / 2**n if _all_fit(n) else 1 / (FLIPS + 1)


@cache
def _signs(n: int) -> NDArray[np.float64]:
    """List sign patterns, a row each: all of them, or a fixed sample."""
    if _all_fit(n):
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(0).integers(2, size=(FLIPS, n))
    return np.where(bits == 1, -1.0, 1.0)


def _all_fit(n: int) -> bool:
    return 2**n <= FLIPS


def t_p(differences: Sequence[float]) -> float:
    """Test whether paired differences are centred on zero, by Student's paired t.

    Where all differences are the same number, as with one pair, t is undefined, and the exact
    sign-flip p is returned instead: 2 / 2^n, or 1 if the number is zero.

    Args:
        differences: One number per pair, shape (n,), n at least 1.

    Raises:
        ValueError: No differences.
        RunError: A difference that is not finite.
    """
    _require_some(differences)
    if len(set(differences)) == 1:
        return sign_flip_p(differences)
    n, mean = len(differences), math.fsum(differences) / len(differences)
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    return 2 * float(stdtr(n - 1, -abs(mean) / error))


def equivalence_p(differences: Sequence[float], margin: float) -> float:
    """Test whether the mean of paired differences lies within a margin of zero, on both sides.

    Two one-sided t tests, that the mean is above -margin and that it is below margin; p is the
    larger of their two (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15:657).
    At most 5 % of the cells whose true difference is outside the margin come out below .05. The
    margin is to be chosen before the results are known.

    Args:
        differences: One number per pair, shape (n,), n at least 1.
        margin: The largest difference that does not matter, above 0, in the differences' unit.

    Returns:
        p; 1 with one pair, which gives no estimate of the variance. Where all differences are the
        same number, 0 or 1: whether it is within the margin.

    Raises:
        ValueError: No differences, or a margin that is not above 0.
        RunError: A difference that is not finite.

    Example:
        >>> round(equivalence_p([0.001, -0.002, 0.002, 0.0, -0.001], margin=0.005), 4)
        0.0011
    """
    _require_some(differences)
    if not margin > 0:
        raise ValueError(f"a margin of {margin}")
    n, mean = len(differences), math.fsum(differences) / len(differences)
    if n == 1:
        return 1.0
    if len(set(differences)) == 1:
        return 0.0 if abs(differences[0]) < margin else 1.0
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    return float(stdtr(n - 1, (abs(mean) - margin) / error))


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values for their number: the family then has the level of a single test.

    Sorted ascending, p_(i) becomes the largest of (m - j + 1) * p_(j) over j <= i, at most 1
    (Holm 1979, Scandinavian Journal of Statistics 6:2).

    Args:
        ps: p-values of one family, shape (m,), m may be 0.

    Returns:
        Corrected p-values in the order given.
    """
    order = np.argsort(ps, kind="stable")
    factors = np.arange(len(order), 0, -1)
    ascending = np.minimum(1, np.maximum.accumulate(factors * np.asarray(ps, dtype=float)[order]))
    corrected = np.empty(len(order))
    corrected[order] = ascending
    return corrected.tolist()


def detectable(
    sd: float | None, n: int, *, family: int = 1, power: float = 0.8, level: float = 0.05
) -> float | None:
    """Compute the smallest true difference that n pairs would find, in the unit of `sd`.

    The d at which a two-sided paired t test at `level / family` comes out significant, on d's side,
    with probability `power`: d sqrt(n) / sd is the noncentrality at which the noncentral t with
    n - 1 degrees of freedom exceeds t(1 - level / (2 family), n - 1) so often (Cohen 1988). Holm's
    correction tests the smallest p of a family at level / family, so this is the power of a
    single true difference among others that are zero.

    Args:
        sd: Standard deviation of the pairs' differences; None with one pair.
        n: Number of pairs.
        family: How many comparisons are corrected for together.
        power: How often such a difference should be found.
        level: How often a family without any true difference may show one.

    Returns:
        The difference; None where the spread is unknown: one pair, or all differences equal.

    Example:
        >>> round(detectable(1.0, 5), 2), round(detectable(1.0, 5, family=8), 2)
        (1.68, 2.98)
    """
    if n < 2 or not sd:
        return None
    return detectable_at(sd / math.sqrt(n), n - 1, family=family, power=power, level=level)


def detectable_at(
    error: float, df: float, *, family: int = 1, power: float = 0.8, level: float = 0.05
) -> float:
    """Compute the same from a standard error of the mean and its degrees of freedom.

    Args:
        error: Standard error of the mean difference.
        df: Its degrees of freedom, which need not be whole.
        family: As in `detectable`.
        power: As in `detectable`.
        level: As in `detectable`.
    """
    critical = stdtrit(df, 1 - level / family / 2)
    return float(nctdtrinc(df, 1 - power, critical)) * error


def _less(first: float, second: float) -> float:
    """Subtract, and drop rounding errors, which would break ties between pairs."""
    scale = max(abs(first), abs(second))
    if not scale or not math.isfinite(scale):
        return first - second
    return round(first - second, _DIGITS - math.ceil(math.log10(scale)))


def _require_some(differences: Sequence[float]) -> None:
    if not differences:
        raise ValueError("no differences to test")
    _require_finite(differences)


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
