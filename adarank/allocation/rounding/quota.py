"""Quotas: the real-valued ranks that spend a budget exactly, in exact arithmetic.

Floats enter as the rationals that they are and nothing is rounded here, so equal weights
get equal quotas, a quota that should be 4 is 4, and spending is never off by an ulp.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property


@dataclass(frozen=True)
class Case:
    """The input of apportionment: weights, costs, bounds and a budget.

    Ties go to the module that comes first. The budget must lie between what the lower and what
    the upper bounds cost.

    Attributes:
        weights: Ranks are to be proportional to these; not negative, `(n_modules,)`.
        costs: Parameters per rank, `(n_modules,)`.
        lower: Least rank, `(n_modules,)`.
        upper: Greatest rank, `(n_modules,)`.
        budget: Parameters to spend.
    """

    weights: tuple[Fraction, ...]
    costs: tuple[int, ...]
    lower: tuple[int, ...]
    upper: tuple[int, ...]
    budget: Fraction

    @cached_property
    def quotas(self) -> tuple[Fraction, ...]:
        """The quota of every module, `(n_modules,)`; see `water_fill`."""
        return water_fill(self)

    def spend(self, ranks: Sequence[int]) -> int:
        """Parameters that these ranks cost."""
        return sum(c * r for c, r in zip(self.costs, ranks, strict=True))


def water_fill(case: Case) -> tuple[Fraction, ...]:
    """Share a budget in proportion to weights, within bounds.

    The quotas are q_m = clamp(t * w_m, lower_m, upper_m) with the t for which
    sum_m cost_m * q_m is the budget: modules beyond a bound are held at it, and the others
    rescaled to what is left. Modules of zero weight stay at their lower bounds until
    all others are at their upper ones; what is then left they share evenly.

    Returns:
        Quotas, shape `(n_modules,)`, in ranks.
    """
    bounds = tuple(zip(case.weights, case.lower, case.upper, strict=True))
    full = tuple(high if w else low for w, low, high in bounds)
    if case.budget > case.spend(full):
        equal = (Fraction(1),) * len(full)
        return water_fill(replace(case, weights=equal, lower=full))
    level = _level(case)
    return tuple(min(max(level * w, Fraction(low)), Fraction(high)) for w, low, high in bounds)


def _level(case: Case) -> Fraction:
    """Find t: spending is linear in it between the levels where a module meets a bound."""
    bounds = tuple(zip(case.weights, case.lower, case.upper, strict=True))
    bends = sorted({Fraction(bound) / w for w, *ends in bounds if w for bound in ends})
    level = bends[bisect_right(bends, case.budget, key=lambda t: _spend_at(case, t)) - 1]
    missing = case.budget - _spend_at(case, level)
    rising = (low <= level * w < high for w, low, high in bounds)
    terms = zip(rising, case.costs, case.weights, strict=True)
    slope = sum((cost * w for moves, cost, w in terms if moves), Fraction(0))
    return level + missing / slope if missing else level


def _spend_at(case: Case, level: Fraction) -> Fraction:
    """Parameters that the quotas of a level t cost."""
    bounds = zip(case.weights, case.lower, case.upper, strict=True)
    quotas = (min(max(level * w, Fraction(low)), Fraction(high)) for w, low, high in bounds)
    return sum((c * q for c, q in zip(case.costs, quotas, strict=True)), Fraction(0))
