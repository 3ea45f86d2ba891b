"""From a score table to a rank plan, in one call."""

from operator import index

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.allocation.apportion import apportion
from adarank.allocation.plan import PlannedModule, RankPlan
from adarank.allocation.scale import Scale
from adarank.allocation.spread import even_spread
from adarank.allocation.strategies import weigh
from adarank.allocation.table import per_module
from adarank.errors import InputError, Problem, input_error

RATIO = Scale("ratio", 1.0)
"""The default scale: the same factor, 1, for every module."""


def allocate(
    scores: pd.DataFrame,
    *,
    budget: float,
    strategy: str = "disagreement",
    rounding: str = "exact",
    min_rank: int = 1,
    max_rank: int | None = None,
    scale: Scale = RATIO,
    seed: int = 0,
    model_sha256: str = "",
) -> RankPlan:
    """Decide the LoRA rank of every module.

    Ranks are proportional to the strategy's weights, as closely as whole ranks within the
    bounds can be, and cost what uniform rank `budget` would: budget * sum(d_in + d_out).

    Args:
        scores: `(n_modules * n_trials)` rows: module, block, kind, d_in, d_out,
            parameters_per_rank, trial, score. The order of the rows does not matter.
        budget: Average rank; may be fractional.
        strategy: A name in `adarank.allocation.strategies.STRATEGIES`.
        rounding: `exact` spends all that can be spent and is closest to the proportions;
            `hamilton`, `dhondt` and `floor` spend at most the budget.
        min_rank: Least rank; 0 lets a module go without an adapter.
        max_rank: Greatest rank; if absent, min(d_in, d_out) of each module, which no
            rank exceeds in any case.
        scale: How alphas follow from ranks.
        seed: Of the strategy `permuted`.
        model_sha256: Hash of the model scored, recorded in the plan.

    Returns:
        The plan: a rank and an alpha for every module.

    Raises:
        InputError: A malformed table, unknown names, bounds that contradict each other, or a
            budget out of reach within them.
    """
    table = per_module(scores)
    lower, upper = _bounds(table, min_rank, max_rank)
    ranks = apportion(
        weigh(strategy, table, seed),
        table["parameters_per_rank"].to_numpy(dtype=np.int64),
        budget=budget,
        lower=lower,
        upper=upper,
        rounding=rounding,
        turns=even_spread(table),
    )
    if not ranks.any():
        raise _too_small(budget, rounding, table)
    modules = _planned(table, ranks, scale)
    return RankPlan(
        schema=1,
        strategy=strategy,
        budget=float(budget),
        unit="average_rank",
        parameters=sum(module.parameters for module in modules),
        model_sha256=model_sha256,
        scale=scale,
        modules=modules,
    )


def _bounds(
    table: pd.DataFrame, min_rank: int, max_rank: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The least and greatest rank of every module, `(n_modules,)` each."""
    full = table[["d_in", "d_out"]].min(axis=1).to_numpy(dtype=np.int64)
    problems: list[Problem] = []
    if min_rank < 0:
        problems.append(Problem("no such rank", "min_rank", min_rank, "0 or more"))
    if max_rank is not None and max_rank < max(min_rank, 1):
        at_least = f"at least min_rank ({min_rank}) and 1, or null"
        problems.append(Problem("no such rank", "max_rank", max_rank, at_least))
    if full.min() < min_rank:
        narrowest = int(full.argmin())
        name, limit = table["module"].tolist()[narrowest], int(full[narrowest])
        expected = f"at most {limit}, the smaller dimension of {name}"
        problems.append(Problem("more than a module can take", "min_rank", min_rank, expected))
    if problems:
        raise InputError(*problems)
    upper = full if max_rank is None else np.minimum(full, index(max_rank))
    return np.full_like(full, index(min_rank)), upper


def _planned(
    table: pd.DataFrame, ranks: NDArray[np.int64], scale: Scale
) -> tuple[PlannedModule, ...]:
    rows = table.assign(rank=ranks).sort_values(["block", "module"])
    return tuple(
        PlannedModule(
            name=row["module"],
            block=row["block"],
            kind=row["kind"],
            rank=row["rank"],
            alpha=scale.alpha(row["rank"]),
            parameters=row["rank"] * row["parameters_per_rank"],
        )
        for row in rows.to_dict("records")
    )


def _too_small(budget: float, rounding: str, table: pd.DataFrame) -> InputError:
    least = table["parameters_per_rank"].min() / table["parameters_per_rank"].sum()
    return input_error(
        "no module gets a rank",
        where="budget",
        got=f"average rank {budget:g}, rounding {rounding}",
        expected=f"at least {least:.3g} with rounding exact: one rank of the smallest module",
        remedy="raise the budget, or use rounding: exact",
    )
