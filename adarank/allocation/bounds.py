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
    """The least and greatest rank of every module, `(n_modules,)` each."""
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
