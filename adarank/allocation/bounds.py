"""The least and greatest rank that a module may get."""

from operator import index

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.errors import InputError, Problem

Integers = NDArray[np.int64]


def rank_bounds(
    modules: pd.DataFrame, min_rank: int, max_rank: int | None
) -> tuple[Integers, Integers]:
    """Return the least and greatest rank of every module, `(n_modules,)` each.

    Raises:
        InputError: Bounds below 0, or that contradict each other.
    """
    full = full_ranks(modules)
    problems: list[Problem] = []
    if min_rank < 0:
        problems.append(Problem("no such rank", "min_rank", min_rank, "0 or more"))
    if max_rank is not None and max_rank < max(min_rank, 1):
        at_least = f"at least min_rank ({min_rank}) and 1, or null"
        remedy = "raise max_rank, or lower min_rank"
        problems.append(Problem("no such rank", "max_rank", max_rank, at_least, remedy))
    if full.min() < min_rank:
        narrowest = int(full.argmin())
        name, limit = modules["module"].tolist()[narrowest], int(full[narrowest])
        expected = f"at most {limit}, the smaller dimension of {name}"
        what, remedy = "more than a module can take", "lower min_rank"
        problems.append(Problem(what, "min_rank", min_rank, expected, remedy))
    if problems:
        raise InputError(*problems)
    upper = full if max_rank is None else np.minimum(full, min(index(max_rank), int(full.max())))
    return np.full_like(full, index(min_rank)), upper


def full_ranks(modules: pd.DataFrame) -> Integers:
    """Full rank of every module, `(n_modules,)`."""
    return modules[["d_in", "d_out"]].min(axis=1).to_numpy(dtype=np.int64)


def default_min_rank(budget: float) -> int:
    """Choose the least rank for a budget: 1 from an average rank of 2 on, else 0.

    With a least rank of 1, a strategy decides about budget - 1 of the average rank; the rest is
    uniform. At budget 1 nothing would be left to decide, below 1 the budget would be too small.
    From 2 on, at least half of the parameters follow the strategy and no module is left out.

    Example:
        >>> [default_min_rank(budget) for budget in (0.5, 1, 1.5, 2, 8)]
        [0, 0, 0, 1, 1]
    """
    return 1 if budget >= 2 else 0
