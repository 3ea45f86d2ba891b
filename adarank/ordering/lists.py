"""From tables of items, relevance and groups to ranked lists, with every fault named."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.errors import InputError, Problem
from adarank.ordering.metrics import ListMetric
from adarank.ordering.training import RankedList

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


class OrderingError(InputError, ValueError):
    """Bad input to an ordering; a ValueError too, which scikit-learn's tools expect."""


def refuse(what: str, **more: Any) -> OrderingError:
    """Make an OrderingError of a single problem; see Problem for the fields."""
    return OrderingError(Problem(what, **more))


def rows_by_group(groups: Any, n_rows: int) -> list[Rows]:
    """Split row numbers by group, groups in the order of their first rows.

    Args:
        groups: A label per row, equal labels together or not; None for one group of all.
        n_rows: How many rows there are.

    Raises:
        OrderingError: Not one label per row, such as group sizes; or missing labels.
    """
    if groups is None:
        return [np.arange(n_rows)]
    labels = np.asarray(groups)
    if labels.shape != (n_rows,):
        raise _not_a_label_per_row(labels, n_rows)
    if pd.isna(labels).any() or (labels.dtype.kind == "f" and np.isinf(labels).any()):
        raise refuse("a group is missing", where="groups", expected="a finite label per row")
    try:
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    except TypeError as error:
        expected = "labels of one type, all text or all numbers"
        raise refuse(
            "labels cannot be compared", where="groups", got=str(error), expected=expected
        ) from None
    members = [np.flatnonzero(inverse == group) for group in range(len(first))]
    return [members[group] for group in np.argsort(first)]


def ranked_lists(items: Floats, relevance: Floats, groups: Sequence[Rows]) -> list[RankedList]:
    """Cut a table into one ranked list per group."""
    return [RankedList(items[rows], relevance[rows]) for rows in groups]


def informative(lists: Sequence[RankedList]) -> list[RankedList]:
    """Keep the lists with at least one pair of unequal relevance.

    Raises:
        OrderingError: There is none: nothing can be learned.
    """
    useful = [one for one in lists if len(np.unique(one.relevance)) > 1]
    if not useful:
        raise refuse(
            "no group has two items of unequal relevance: there is no pair to learn from",
            where="y",
            got=f"{len(lists)} groups, {sum(len(one.items) for one in lists)} items; "
            "1 class of relevance within each",
            expected="at least one group with two different values of relevance",
            remedy="check that y and groups belong to the same rows",
        )
    return useful


def check_measurable(lists: Sequence[RankedList], metric: ListMetric, name: str) -> None:
    """Refuse validation lists that a metric says nothing about: any comparator would be best.

    Raises:
        OrderingError: The metric is undefined for every list.
    """
    if all(metric(one.relevance) is None for one in lists):
        raise refuse(
            f"{name} is undefined for every validation list",
            where="y",
            got=f"{len(lists)} lists without a relevant item",
            expected="an item of relevance of at least 1 (map, p@n), above 0 (ndcg), or two "
            "different ones (concordance)",
            remedy="give other validation data, or metric='concordance' for relevance on any scale",
        )


def _not_a_label_per_row(labels: NDArray[Any], n_rows: int) -> OrderingError:
    sizes = labels.ndim == 1 and labels.dtype.kind in "iu" and int(labels.sum()) == n_rows
    return refuse(
        "groups has not one label per row",
        where="groups",
        got=f"shape {labels.shape}" + (f", which sums to {n_rows}" if sizes else ""),
        expected=f"shape ({n_rows},): the query or model that each row belongs to",
        remedy="turn sizes into labels: np.repeat(np.arange(len(sizes)), sizes)"
        if sizes
        else "give a label for every row of X",
    )
