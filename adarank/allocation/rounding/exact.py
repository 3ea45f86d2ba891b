"""The integer ranks closest to the quotas that spend a budget exactly.

What is minimised: sum_m cost_m * (rank_m - quota_m)^2. With the weight cost_m every
misplaced parameter counts alike, however the parameters are cut into modules: rounding
favours neither large modules nor small ones. (Unweighted, the ranks that rounding takes
or gives would nearly all be those of large modules.) Quotas are taken to a millionth of
a rank; what is equal to that precision is served in the order of the case. Where no ranks
spend the budget exactly, the most that can be spent, and is not above it, is. All is done
in integers, so that the result is the same on every machine.

How. Let the unit be the costs' greatest common divisor, and D the largest cost in units.

1. Start. Raising a rank from r to r + 1 adds 2 (r - quota) + 1 to the objective for every
   parameter: the step's level. Give ranks by ascending level until the next does not fit.
   Nothing is closer among ranks that spend as much, and fewer than D units are left.
2. Repair. From there every further step, up or down, has a price >= 0. Find the cheapest
   that spend just the units left (`adarank.allocation.rounding.repair`).
3. Proof. That search follows running sums in a window. A first, narrow one gives a price;
   the window is then widened until no repair of that price could leave it. D^2 units are
   always enough: of 2 D or more steps, in a fitting order, some successive ones add up to
   nothing (Steinitz) and can be left out. What the price can buy is mostly far less, and
   this is why costs without a common divisor, whose D is large, need little memory too.
   CELLS caps it all the same: with over 500 costs that are all different and share no
   divisor, the window may end short of the proof. Spend and bounds are then as exact as
   ever, and the ranks the closest that steps within that window can reach.
"""

from bisect import bisect_right
from math import floor, gcd

import numpy as np

from adarank.allocation.rounding.quota import Case
from adarank.allocation.rounding.repair import GRID, Repair, Start, given, reach, repair
from adarank.allocation.rounding.subset import most_reachable
from adarank.errors import input_error

CELLS = 1 << 26
"""Most cells of a search's tables, 4 bytes each, all distinct costs together."""
_DEAREST = 1 << 58


def exact(case: Case) -> list[int]:
    """Find the closest ranks that spend the budget, or the most that can be spent of it.

    Args:
        case: At least one module.

    Returns:
        Ranks, one a module of the case.

    Raises:
        InputError: The costs are so irregular that no repair was found within CELLS.
    """
    unit = gcd(*case.costs)
    start = _start(case, unit, floor(case.budget) // unit)
    return _closest(case, unit, start).ranks.tolist() if start.gap else start.ranks.tolist()


def _closest(case: Case, unit: int, start: Start) -> Repair:
    largest = int(start.costs.max())
    found = repair(start, min(4 * largest, largest**2), dearest=2 * GRID * largest)
    if found is not None:
        return _proven(start, found)
    spend = int(start.costs @ start.ranks) + start.gap
    spend = most_reachable(start.costs, start.lower, start.upper, spend, start.gap)
    return _searched_wider(_start(case, unit, spend))


def _start(case: Case, unit: int, target: int) -> Start:
    """Give ranks by ascending level, ties in the order of the case, while they fit."""
    twice = np.array([round(2 * GRID * quota) for quota in case.quotas], dtype=np.int64)
    costs = np.array(case.costs, dtype=np.int64) // unit
    lower, upper = np.array(case.lower, dtype=np.int64), np.array(case.upper, dtype=np.int64)

    def spent(level: int) -> int:
        return int(costs @ given(twice, lower, upper, level))

    lowest = int(((2 * lower + 1) * GRID - twice).min())
    highest = int(((2 * upper - 1) * GRID - twice).max()) + 2
    level = lowest + bisect_right(range(lowest, highest), target, key=spent) - 1
    ranks = given(twice, lower, upper, level)
    tied = np.flatnonzero(given(twice, lower, upper, level + 1) > ranks)
    summed = np.cumsum(costs[tied])
    ranks[tied[summed <= target - spent(level)]] += 1
    return Start(ranks, twice, costs, lower, upper, level, gap=target - int(costs @ ranks))


def _searched_wider(start: Start) -> Repair:
    """Look for a repair that is known to exist, at ever higher prices."""
    if not start.gap:
        return Repair(start.ranks, price=0, window=0)
    dearest = GRID * int(start.costs.max())
    while dearest < _DEAREST:
        dearest *= 8
        found = repair(start, _window(start, dearest), dearest)
        if found is not None:
            return _proven(start, found)
    raise input_error(
        "the modules' shapes are too irregular to spend this budget exactly",
        where="rounding",
        got=f"{len(np.unique(start.costs))} distinct costs up to {start.costs.max()} units",
        expected="costs with a common divisor",
        remedy="use rounding: hamilton, which spends nearly all",
    )


def _proven(start: Start, found: Repair) -> Repair:
    """Search again where a better repair could hide, if it could hide anywhere."""
    window = _window(start, found.price)
    if found.price == 0 or window <= found.window:
        return found
    better = repair(start, window, found.price)
    assert better is not None, "a wider search holds the narrower one"
    return better


def _window(start: Start, price: int) -> int:
    """Say how wide a search is that no repair of a price can leave (or CELLS allow)."""
    up, down = reach(start, price), reach(start.mirrored(), price)
    enough = min(int(start.costs.max()) ** 2, up, down + start.gap)
    affordable = CELLS // (2 * len(np.unique(start.costs)))
    return max(start.gap, min(enough, affordable))
