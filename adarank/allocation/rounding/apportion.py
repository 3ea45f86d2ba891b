"""Apportionment: from a weight per module to its integer rank, under a budget."""

from collections.abc import Callable
from fractions import Fraction
from math import isfinite
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.rounding.classic import floors, hamilton
from adarank.allocation.rounding.quota import Case
from adarank.allocation.rounding.spend_all import spend_all
from adarank.errors import input_error

ROUNDINGS: dict[str, Callable[[Case], list[int]]] = {
    "spend_all": spend_all,
    "hamilton": hamilton,
    "floor": floors,
}

RENAMED = {"exact": "spend_all"}
"""Roundings under their former names, and their present ones."""

_PRECISION = Fraction(1, 1 << 52)


def budget_parameters(budget: float, costs: NDArray[np.int64]) -> Fraction:
    """Convert an average rank to parameters: what uniform rank `budget` would cost.

    Floats cannot hold 0.1 or 11 / 3 exactly: a result within their precision of a whole
    number of parameters is taken for that number, so no rank is lost to the last digit.

    Example:
        >>> budget_parameters(0.29, np.array([40, 60]))  # 28.999999999999996 in floats
        Fraction(29, 1)

    Args:
        budget: Average rank.
        costs: Parameters per rank, `(n_modules,)`.

    Raises:
        InputError: The budget is not a positive finite number.
    """
    if not (isinstance(budget, Real) and isfinite(budget) and budget > 0):
        raise input_error(
            "no such budget",
            where="budget",
            got=budget,
            expected="an average rank above 0",
            remedy="give the rank that a uniform plan of equal cost would have",
        )
    parameters = Fraction(float(budget)) * int(costs.sum())
    whole = Fraction(round(parameters))
    return whole if abs(parameters - whole) <= whole * _PRECISION else parameters


def apportion(
    weights: NDArray[np.float64],
    costs: NDArray[np.int64],
    *,
    budget: float,
    lower: NDArray[np.int64],
    upper: NDArray[np.int64],
    rounding: str = "spend_all",
    turns: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Convert weights to integer ranks under a budget of parameters.

    The quota of a module is proportional to its weight, within its bounds; all quotas together
    cost exactly the budget (`adarank.allocation.rounding.quota.water_fill`). The rounding makes
    them whole. None overspends; `spend_all` spends all that can be spent. At equal cost and
    bounds, a higher weight never gets a lower rank.

    Args:
        weights: Finite, not negative, not all zero, `(n_modules,)`.
        costs: Parameters per rank, `(n_modules,)`.
        budget: Average rank r: what uniform rank r would cost may be spent.
        lower: Least rank, `(n_modules,)`.
        upper: Greatest rank, `(n_modules,)`.
        rounding: A name in ROUNDINGS.
        turns: Positions of the modules, `(n_modules,)`: of equal weights, the first here comes
            first. The order of the arguments if absent.

    Returns:
        Ranks, shape `(n_modules,)`.

    Raises:
        InputError: Unknown rounding, or the budget is out of reach within the bounds.

    Example:
        A module of weight 1 and one of weight 3, 10 parameters per rank each, at average rank 2:

        >>> bounds = {"lower": np.zeros(2, int), "upper": np.full(2, 8)}
        >>> apportion(np.array([1.0, 3.0]), np.array([10, 10]), budget=2, **bounds).tolist()
        [1, 3]
    """
    spend = budget_parameters(budget, costs)
    check_rounding(rounding)
    _check_reach(budget, spend, costs, lower, upper)
    turns = np.arange(len(weights)) if turns is None else turns
    order = turns[np.argsort(-weights[turns], kind="stable")]  # ties: higher weight, then turn
    case = Case(
        weights=tuple(Fraction(float(weight)) for weight in weights[order]),
        costs=tuple(costs[order].tolist()),
        lower=tuple(lower[order].tolist()),
        upper=tuple(upper[order].tolist()),
        budget=spend,
    )
    ranks = np.empty(len(weights), dtype=np.int64)
    ranks[order] = ROUNDINGS[rounding](case)
    return ranks


def check_rounding(rounding: str) -> None:
    """Refuse an unknown rounding: InputError."""
    if rounding in ROUNDINGS:
        return
    renamed = RENAMED.get(rounding)
    raise input_error(
        f"{rounding} is now called {renamed}" if renamed else "unknown rounding",
        where="rounding",
        got=rounding,
        expected=f"one of {', '.join(ROUNDINGS)}",
        remedy=f"rounding: {renamed or 'spend_all'}, which spends the whole budget",
    )


def _check_reach(
    budget: float,
    spend: Fraction,
    costs: NDArray[np.int64],
    lower: NDArray[np.int64],
    upper: NDArray[np.int64],
) -> None:
    least, most = int(costs @ lower), int(costs @ upper)
    if least <= spend <= most:
        return
    average = int(costs.sum())
    low, high = least / average, most / average
    too_small = "lower min_rank (0 lets a module go without an adapter), or raise the budget"
    too_large = "raise max_rank (null allows all that the modules' shapes do) or lower the budget"
    raise input_error(
        "budget out of reach",
        where="budget",
        got=f"average rank {budget:g}, {float(spend):,.10g} parameters",
        expected=f"average rank {low:.6g} to {high:.6g}, {least:,} to {most:,} parameters",
        remedy=too_small if spend < least else too_large,
    )
