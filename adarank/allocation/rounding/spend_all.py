"""The integer ranks closest to the quotas among those that spend the whole budget.

Minimises sum_m cost_m * (rank_m - quota_m)^2. Weighted by cost, a misplaced parameter counts the
same in a large module and in a small one; unweighted, nearly all changes would fall on the large
modules. Where no ranks cost exactly the budget, the largest possible spend below it is used.

Integers only, so every machine gives the same ranks: the objective takes quotas to half of
1 / GRID of a rank, and equally good ranks are decided by the order of the case.

Cost: with D the largest cost in units of the costs' greatest common divisor, the dynamic program
keeps a table of min(D^2, MOST_WINDOW) units to either side. Transformers have a D of 5 (BERT) to
59 (Llama-7B). Up to D = 256 the result is optimal. Beyond it, with costs that share no large
divisor, it is the best within the table.
"""

from dataclasses import dataclass
from math import floor, gcd

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.rounding.quota import Case

GRID = 1 << 20
"""The objective takes quotas to half of 1 / GRID of a rank."""
MOST_WINDOW = 1 << 16
"""Most units of cost to either side of the start that are searched, unless D itself is more."""
_UNREACHED = 1 << 61
_HIGHEST_PRICE = 1 << 58

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class _Steps:
    """Rank changes of the modules of one cost, cheapest first.

    Attributes:
        cost: Units of cost of a step.
        up: Module of each step up, `(n_up,)`: once for every rank that it can gain.
        down: Module of each step down, `(n_down,)`.
        counts: How many steps may be taken, up > 0 and down < 0, `(1 + n_up + n_down,)`.
        prices: By how much each count raises the objective, same shape.
    """

    cost: int
    up: Integers
    down: Integers
    counts: Integers
    prices: Integers


def spend_all(case: Case) -> list[int]:
    """Round quotas to the closest ranks that spend the budget.

    Args:
        case: At least one module.

    Returns:
        Ranks, one per module of the case.

    Example:
        >>> from fractions import Fraction
        >>> weights = tuple(Fraction(weight) for weight in (1, 2, 4))
        >>> case = Case(weights, (2, 2, 4), (0, 0, 0), (9, 9, 9), budget=Fraction(20))
        >>> [float(round(quota, 2)) for quota in case.quotas]
        [0.91, 1.82, 3.64]
        >>> spend_all(case)  # [1, 2, 4] would cost 22
        [1, 1, 4]
    """
    unit = gcd(*case.costs)
    costs = np.array(case.costs, dtype=np.int64) // unit
    lower, upper = np.array(case.lower, dtype=np.int64), np.array(case.upper, dtype=np.int64)
    ranks, margins, left = _start(case, costs, floor(case.budget) // unit)
    if left == 0:
        return ranks.tolist()
    # Spend what is left at the least price: least[window + s] is that of steps which together
    # cost s units. From the start no step has a price below 0, so steps that cost nothing
    # together are never needed. In a fitting order the running costs of the steps taken stay
    # within (-D, D), and repeat at the latest after 2 D steps: what lies between two equal ones
    # costs nothing. So fewer than 2 D steps suffice, and neither those up nor those down cost
    # more than D^2.
    largest = int(costs.max())
    window = min(largest**2, max(largest, MOST_WINDOW))
    least = np.full(2 * window + 1, _UNREACHED, dtype=np.int64)
    least[window] = 0
    groups: list[_Steps] = []
    for cost in np.unique(costs).tolist():
        members, most = np.flatnonzero(costs == cost), min(window // cost, 2 * largest)
        groups.append(_steps(members, cost, margins, upper - ranks, ranks - lower, most))
    groups.sort(key=lambda steps: len(steps.counts))  # few sums while few choices
    taken: list[NDArray[np.int32]] = []
    for steps in groups:
        least, counts = _add(steps, least)
        taken.append(counts)
    # Then walk back from the largest spend that was reached; that of no steps always is.
    place = window + int(np.flatnonzero(least[window : window + left + 1] < _UNREACHED).max())
    for steps, counts in zip(reversed(groups), reversed(taken), strict=True):
        count = int(counts[place])
        np.add.at(ranks, steps.up[: max(count, 0)], 1)
        np.subtract.at(ranks, steps.down[: max(-count, 0)], 1)
        place -= count * steps.cost
    return ranks.tolist()


def _start(case: Case, costs: Integers, budget: int) -> tuple[Integers, Integers, int]:
    """Round down, then add ranks by falling remainder until the next does not fit.

    A rank more adds 2 (rank - quota) + 1 per parameter to the objective: at most -1 up to the
    quota's whole part, then 1 - 2 remainder. So ranks are added in the order of what they add,
    and none that cost as much are closer.

    Returns:
        Ranks; by how much each quota's distance from its rank exceeds that of the module that
        did not fit, in 1 / (2 GRID) of a rank; and the units left to spend.
    """
    ranks = np.array([floor(quota) for quota in case.quotas], dtype=np.int64)
    parts = zip(case.quotas, ranks.tolist(), strict=True)
    distances = np.array([round(2 * GRID * (quota - rank)) for quota, rank in parts])
    open_ = np.flatnonzero(ranks < np.array(case.upper))
    order = open_[np.argsort(-distances[open_], kind="stable")]
    left = budget - int(costs @ ranks)
    fitting = int(np.searchsorted(np.cumsum(costs[order]), left, side="right"))
    added = order[:fitting]
    ranks[added] += 1
    distances[added] -= 2 * GRID
    next_ = order[fitting] if fitting < len(order) else 0  # if all fit, nothing is left
    return ranks, distances - distances[next_], left - int(costs[added].sum())


def _steps(
    members: Integers, cost: int, margins: Integers, gain: Integers, loss: Integers, most: int
) -> _Steps:
    """List the steps of the modules of one cost; of any number, the cheapest are best."""
    up, up_prices = _cheapest(members, cost, -margins, gain, most)
    # In a tie, the module that comes last in the case is the first to lose a rank.
    down, down_prices = _cheapest(members[::-1], cost, margins + 2 * GRID, loss, most)
    counts = np.concatenate([[0], 1 + np.arange(len(up)), -1 - np.arange(len(down))])
    prices = np.concatenate([[0], up_prices, down_prices])
    nearest = np.argsort(np.abs(counts), kind="stable")
    return _Steps(cost, up, down, counts[nearest], prices[nearest])


def _cheapest(
    members: Integers, cost: int, first: Integers, room: Integers, most: int
) -> tuple[Integers, Integers]:
    """Modules of the cheapest steps in one direction, and the prices of so many together."""
    ahead = np.arange(min(most, int(room[members].max())))
    owners, nth = np.nonzero(ahead < room[members][:, None])
    prices = first[members[owners]] + 2 * GRID * nth  # every further step costs more
    order = np.argsort(prices, kind="stable")[:most]
    sums = np.cumsum(prices[order])
    sums = sums[sums <= _HIGHEST_PRICE // cost] * cost
    return members[owners[order]][: len(sums)], sums


def _add(steps: _Steps, least: Integers) -> tuple[Integers, NDArray[np.int32]]:
    """Allow the steps of one more cost: the least price of every sum, and how many it takes."""
    best, taken = least.copy(), np.zeros(len(least), dtype=np.int32)
    reached = np.flatnonzero(least < _UNREACHED)
    first, last = int(reached[0]), int(reached[-1])
    for count, price in zip(steps.counts.tolist(), steps.prices.tolist(), strict=True):
        shift = count * steps.cost
        low, high = max(first, -shift), min(last, len(least) - 1 - shift) + 1
        offers, target = least[low:high] + price, best[low + shift : high + shift]
        better = offers < target
        np.copyto(target, offers, where=better)
        np.copyto(taken[low + shift : high + shift], count, where=better)
    return best, taken
