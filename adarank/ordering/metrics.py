"""Ranking metrics in LETOR's conventions: NDCG@n, MAP and P@n, per list and averaged."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adarank.errors import input_error

Floats = NDArray[np.float64]
Discount = Literal["letor", "standard"]
Empty = Literal["zero", "skip", "one"]
ListMetric = Callable[[Floats], float | None]


def ndcg(relevance: ArrayLike, n: int | None = None, discount: Discount = "letor") -> float | None:
    """Compute the normalised discounted cumulative gain of one list.

    sum_j (2^r_j - 1) / D(j) over the first n places, divided by the same of the best order.
    D(j) is log2(j) from the second place on and 1 at the first, as LETOR's own evaluation has it
    (Qin, Liu, Xu and Li 2010, Information Retrieval 13:346), or log2(j + 1) for `standard`
    (Burges et al. 2005, ICML).

    Args:
        relevance: Grades in ranked order, shape (n_items,), none negative.
        n: Places counted; None for all.
        discount: `letor` or `standard`.

    Returns:
        Between 0 and 1; None for a list without relevant items, where it is undefined.

    Example:
        >>> ndcg([0, 2, 1], discount="letor")
        0.9077324383928644
    """
    gains = np.exp2(np.asarray(relevance, dtype=np.float64)) - 1
    places = np.arange(1, len(gains) + 1)
    weights = 1 / (np.log2(np.maximum(places, 2)) if discount == "letor" else np.log2(places + 1))
    weights = weights[:n]
    best = float(np.sort(gains)[::-1][: len(weights)] @ weights)
    return float(gains[: len(weights)] @ weights) / best if best > 0 else None


def average_precision(relevance: ArrayLike) -> float | None:
    """Compute the mean, over the relevant items of one list, of the precision at their places.

    Args:
        relevance: Grades in ranked order; an item is relevant where its grade is at least 1.

    Returns:
        Between 0 and 1; None for a list without relevant items, where it is undefined.
    """
    relevant = np.asarray(relevance, dtype=np.float64) >= 1
    if not relevant.any():
        return None
    precisions = np.cumsum(relevant) / np.arange(1, len(relevant) + 1)
    return float(precisions[relevant].mean())


def precision(relevance: ArrayLike, n: int) -> float | None:
    """Compute the share of relevant items among the first n places; empty places count as misses.

    Args:
        relevance: Grades in ranked order; an item is relevant where its grade is at least 1.
        n: Places counted.

    Returns:
        Between 0 and 1; None for a list without relevant items.
    """
    relevant = np.asarray(relevance, dtype=np.float64) >= 1
    return float(relevant[:n].sum() / n) if relevant.any() else None


def concordance(relevance: ArrayLike) -> float | None:
    """Compute the share of pairs of unequal relevance that one list has in the right order.

    (1 + tau) / 2, tau being Kendall's over those pairs. For relevance on any real scale.

    Returns:
        Between 0 and 1; None where all items are equally relevant.
    """
    values = np.asarray(relevance, dtype=np.float64)
    above, below = np.triu_indices(len(values), k=1)
    right = int((values[above] > values[below]).sum())
    unequal = int((values[above] != values[below]).sum())
    return right / unequal if unequal else None


def list_metric(name: str, discount: Discount = "letor") -> ListMetric:
    """Return the metric of a name: `map`, `ndcg`, `ndcg@N`, `p@N` or `concordance`.

    Raises:
        InputError: No such metric.
    """
    kind, at, places = name.partition("@")
    n = int(places) if places.isdecimal() and int(places) > 0 else None
    if kind == "ndcg" and (n is not None or not at):
        return lambda relevance: ndcg(relevance, n, discount)
    if kind == "p" and n is not None:
        return lambda relevance: precision(relevance, n)
    if not at and name in ("map", "concordance"):
        return average_precision if name == "map" else concordance
    raise input_error(
        "unknown ranking metric",
        where="metric",
        got=name,
        expected="map, ndcg, ndcg@N, p@N or concordance, N at least 1",
    )


def by_list(metric: ListMetric, ranked: Sequence[ArrayLike], empty: Empty = "zero") -> list[float]:
    """Measure every list.

    Args:
        metric: A metric of one list.
        ranked: Per list, the relevance of its items in ranked order.
        empty: What a list counts for which the metric is undefined: `zero` (LETOR's
            evaluation), `one` (some libraries), or `skip`: it is left out.

    Returns:
        A number per list, without those skipped.
    """
    found = [metric(np.asarray(relevance, dtype=np.float64)) for relevance in ranked]
    if empty == "skip":
        return [value for value in found if value is not None]
    stand_in = 0.0 if empty == "zero" else 1.0
    return [stand_in if value is None else value for value in found]


def ranked_by(scores: ArrayLike, relevance: ArrayLike) -> Floats:
    """Put relevance in the order of descending scores; equal scores keep the items' order."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    return np.asarray(relevance, dtype=np.float64)[order]
