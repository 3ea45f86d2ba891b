"""The cheapest steps from ranks that are best for what they spend to a spend wanted.

Ranks given by ascending level (see `adarank.allocation.rounding.exact`) leave every further step
up or down at a price >= 0. Within one cost, steps are best taken cheapest first, so a
dynamic program over the distinct costs need only choose how many of each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = 1 << 20
"""Quotas, levels and prices are whole numbers of 1 / GRID of a rank."""
_FAR = 1 << 61

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Start:
    """Ranks given up to a level. Costs and spends are in units of the costs' divisor.

    Attributes:
        ranks: `(n_modules,)`.
        twice: Twice the quotas, in 1 / GRID of a rank, `(n_modules,)`.
        costs: `(n_modules,)`.
        lower: Least ranks, `(n_modules,)`.
        upper: Greatest ranks, `(n_modules,)`.
        level: No step below it is left to give, none above it was given.
        gap: What is left to spend, not negative.
    """

    ranks: Integers
    twice: Integers
    costs: Integers
    lower: Integers
    upper: Integers
    level: int
    gap: int

    def mirrored(self) -> "Start":
        """The same question upside down, in which steps down are steps up."""
        turned = (-self.ranks, -self.twice, self.costs, -self.upper, -self.lower)
        return Start(*(values[::-1] for values in turned), level=-self.level, gap=-self.gap)

    def given(self, level: int) -> Integers:
        """The ranks if every step below a level, and no other, were given."""
        return given(self.twice, self.lower, self.upper, level)


@dataclass(frozen=True)
class Repair:
    """Ranks that spend what was wanted, and by how much that moved the objective."""

    ranks: Integers
    price: int
    window: int


@dataclass(frozen=True)
class _Moves:
    """What can be done with the modules of one cost: so many steps up (+) or down (-).

    Attributes:
        cost: Units a step.
        counts: Numbers of steps, nearest to none first, `(n_moves,)`.
        prices: What so many cost at least, `(n_moves,)`.
        up: Modules of the steps up, cheapest first, one module as often as it steps.
        down: Those of the steps down.
    """

    cost: int
    counts: Integers
    prices: Integers
    up: Integers
    down: Integers

    def apply(self, ranks: Integers, count: int) -> None:
        """Take the cheapest `count` steps, in place."""
        np.add.at(ranks, self.up[: max(count, 0)], 1)
        np.subtract.at(ranks, self.down[: max(-count, 0)], 1)


def given(twice: Integers, lower: Integers, upper: Integers, level: int) -> Integers:
    """Count the steps below a level: raising r to r + 1 is at (2 r + 1) - 2 quota."""
    return np.clip(-(-(level + twice - GRID) // (2 * GRID)), lower, upper)


def repair(start: Start, window: int, dearest: int) -> Repair | None:
    """Close the gap at the least price.

    Args:
        start: Where to start from.
        window: Steps up, and steps down, may come to this many units at most.
        dearest: Greatest price to consider.

    Returns:
        The cheapest repair within those limits, or None if there is none.
    """
    moves = [_moves(start, int(cost), window, dearest) for cost in np.unique(start.costs)]
    # Few choices first keep the sums few; the last need only meet the gap.
    *inner, last = sorted(moves, key=lambda one: len(one.counts))
    prices = np.full(2 * window + 1, _FAR, dtype=np.int64)
    prices[window] = 0
    choices: list[NDArray[np.int32]] = []
    for one in inner:
        prices, choice = _with_cost(prices, one)
        choices.append(choice)
    places = window + start.gap - last.counts * last.cost
    inside = (places >= 0) & (places <= 2 * window)
    totals = np.where(inside, prices[np.where(inside, places, 0)] + last.prices, _FAR)
    best = int(np.argmin(totals))
    if totals[best] > dearest:
        return None
    counts = [*_walk_back(inner, choices, int(places[best])), int(last.counts[best])]
    ranks = start.ranks.copy()
    for one, count in zip([*inner, last], counts, strict=True):
        one.apply(ranks, count)
    return Repair(ranks, int(totals[best]), window)


def reach(start: Start, price: int) -> int:
    """Bound from above how many units the steps up of a total price can come to.

    The fractional knapsack's dual: for any level t, steps below it cost what they cost,
    and every unit above it at least t.
    """
    low, high = 1, 1 << 56
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _below(start, middle)[1] <= price else (low, middle)
    units, paid = _below(start, low)
    return int((units + (price - paid) / low) * (1 + 1e-9)) + 1


def _below(start: Start, height: int) -> tuple[int, float]:
    """Units and price of all steps up whose level is less than `height` above the start's."""
    counts = start.given(start.level + height) - start.ranks
    first = (2 * start.ranks + 1) * GRID - start.twice - start.level
    each = counts * first.astype(np.float64) + GRID * (counts * (counts - 1.0))
    return int(start.costs @ counts), float(start.costs @ each)


def _moves(start: Start, cost: int, window: int, dearest: int) -> _Moves:
    up, up_prices = _steps(start, cost, window, dearest)
    mirrored, down_prices = _steps(start.mirrored(), cost, window, dearest)
    counts = np.concatenate([[0], np.arange(len(up)) + 1, -np.arange(len(mirrored)) - 1])
    prices = np.concatenate([[0], up_prices, down_prices])
    near_first = np.argsort(np.abs(counts), kind="stable")
    down = len(start.ranks) - 1 - mirrored
    return _Moves(cost, counts[near_first], prices[near_first], up, down)


def _steps(start: Start, cost: int, window: int, dearest: int) -> tuple[Integers, Integers]:
    """Steps up of one cost, cheapest first: whose they are, and their prices summed up."""
    members = np.flatnonzero(start.costs == cost)
    room = (start.upper - start.ranks)[members]
    most = min(window // cost, dearest // (2 * GRID * cost) + 1, int(room.max()))
    ahead = np.arange(most)
    ranks, twice = start.ranks[members, None], start.twice[members, None]
    prices = (2 * (ranks + ahead) + 1) * GRID - twice - start.level
    wanted = (ahead < room[:, None]) & (prices <= dearest // cost)
    modules = np.broadcast_to(members[:, None], wanted.shape)[wanted]
    order = np.argsort(prices[wanted], kind="stable")[: window // cost]
    summed = np.cumsum(prices[wanted][order]) * cost
    kept = int(np.searchsorted(summed, dearest, side="right"))
    return modules[order][:kept], summed[:kept]


def _with_cost(prices: Integers, moves: _Moves) -> tuple[Integers, NDArray[np.int32]]:
    """Let steps of one more cost be taken: the least price of every sum, and how many."""
    best, choice = prices.copy(), np.zeros(len(prices), dtype=np.int32)
    filled = np.flatnonzero(prices < _FAR)
    first, last = int(filled[0]), int(filled[-1])
    sparse = len(filled) * 32 < last - first
    for count, price in zip(moves.counts.tolist(), moves.prices.tolist(), strict=True):
        shift = count * moves.cost
        low, high = max(first, -shift), min(last, len(prices) - 1 - shift) + 1
        if sparse:
            source = filled[(filled >= low) & (filled < high)]
            offers = prices[source] + price
            to = source[offers < best[source + shift]] + shift
            best[to], choice[to] = prices[to - shift] + price, count
        else:
            offers = prices[low:high] + price
            target = best[low + shift : high + shift]
            better = offers < target
            np.copyto(target, offers, where=better)
            np.copyto(choice[low + shift : high + shift], count, where=better)
    return best, choice


def _walk_back(moves: list[_Moves], choices: list[NDArray[np.int32]], place: int) -> list[int]:
    counts: list[int] = []
    for one, choice in zip(reversed(moves), reversed(choices), strict=True):
        counts.append(int(choice[place]))
        place -= counts[-1] * one.cost
    return counts[::-1]
