"""Smaller updates: the best of a given rank, and the best that a parameter budget buys in all.

The k components of largest singular value are the closest update of rank k (Eckart and Young
1936). Over several modules the components compete, each by its sigma^2 per parameter.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adarank.errors import input_error
from adarank.factors.balancing import balance
from adarank.factors.svd import Components, Update


@dataclass(frozen=True)
class Choice:
    """Which rank each module keeps.

    Attributes:
        ranks: By module name; 0 drops the module.
        parameters: What these ranks cost, as near below the budget as whole ranks allow.
    """

    ranks: dict[str, int]
    parameters: int


def truncate(components: Components, rank: int, scale: float = 1.0) -> Update:
    """Keep the `rank` largest components of an update.

    Args:
        components: The update's parts: `decompose(update).components`, or `decompose_by_loss`.
        rank: How many to keep, from 0 to all.
        scale: The scale of the result; the factors make up for it.

    Returns:
        The closest update of this rank in the metric of the parts, its factors balanced: the i-th
        row of A has the norm of the i-th column of B, sqrt(sigma_i / scale) for an SVD.

    Raises:
        InputError: A rank below 0 or above the number of components.
    """
    if not 0 <= rank <= len(components.energies):
        raise input_error(
            "no such rank",
            got=rank,
            expected=f"0 to {len(components.energies)}, the components that there are",
        )
    return balance(Update(components.rows[:rank], components.u[:, :rank]), scale)


def ranks_within(
    energies: Mapping[str, Sequence[float]], costs: Mapping[str, int], budget: int
) -> Choice:
    """Choose the ranks that keep the most energy at an exact parameter budget.

    Maximises sum_m sum_{i <= r_m} energies[m][i] subject to sum_m r_m costs[m] = budget. Modules
    of one cost act as one pool, whose best k components are its k largest. First the components
    enter by energy per parameter until one does not fit: the optimum of the relaxed problem. The
    optimum in whole ranks differs from it by at most 2 D + 1 components in all, D being the
    largest cost over the costs' greatest common divisor (the exchange argument of Eisenbrand and
    Weismantel 2018, arXiv 1707.00481, section 3, for one constraint). So a dynamic program over
    the pools' sizes within that window finds it.

    Args:
        energies: By module, descending: what each component is worth.
        costs: By module: parameters per rank, d_in + d_out.
        budget: Parameters to spend.

    Returns:
        The ranks and what they cost: the budget, or where no ranks cost that, the most below it.
        Where D is above about 100 the window is cut so that the search stays within seconds; the
        spend may then miss the budget by less than the greatest common divisor times D.

    Example:
        >>> ranks_within({"q": [9, 4, 1], "up": [16, 2]}, {"q": 2, "up": 5}, 9).ranks
        {'q': 2, 'up': 1}
    """
    unit = math.gcd(*costs.values())
    pools: dict[int, list[tuple[float, str]]] = {}
    for name in sorted(energies):
        pools.setdefault(costs[name] // unit, []).extend((-e, name) for e in energies[name])
    for pool in pools.values():
        pool.sort(key=lambda component: component[0])
    sizes = _relaxed(pools, budget // unit)

    window = _window(list(pools))
    floors = {cost: max(0, size - window) for cost, size in sizes.items()}
    room = budget // unit - sum(cost * floor for cost, floor in floors.items())
    best = np.full(room + 1, -np.inf)  # best[t]: the most energy above the floors that t units buy
    best[0] = 0.0
    taken: dict[int, NDArray[np.int64]] = {}
    for cost, pool in pools.items():
        free = [-energy for energy, _ in pool[floors[cost] : sizes[cost] + window]]
        best, taken[cost] = _with_pool(best, np.cumsum([0.0, *free]), cost)

    spent = int(np.flatnonzero(np.isfinite(best))[-1])
    left, ranks = spent, dict.fromkeys(energies, 0)
    for cost, pool in reversed(pools.items()):
        more = int(taken[cost][left])
        left -= cost * more
        for _, name in pool[: floors[cost] + more]:
            ranks[name] += 1
    return Choice(ranks, sum(rank * costs[name] for name, rank in ranks.items()))


def _relaxed(pools: Mapping[int, list[tuple[float, str]]], units: int) -> dict[int, int]:
    """How many of each pool's components enter by energy per cost before one does not fit."""
    order = sorted((value / cost, cost) for cost, pool in pools.items() for value, _ in pool)
    sizes = dict.fromkeys(pools, 0)
    for _, cost in order:
        if cost > units:
            break
        sizes[cost] += 1
        units -= cost
    return sizes


def _window(costs: Sequence[int]) -> int:
    """Components by which a pool may differ from the relaxed optimum; see `ranks_within`."""
    proven = 2 * max(costs) + 2
    affordable = math.isqrt(10**9 // (len(costs) ** 2 * max(costs)))
    return max(1, min(proven, affordable))


def _with_pool(
    best: NDArray[np.float64], gains: NDArray[np.float64], cost: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Add one pool to the dynamic program: the new bests, and how many of it each one takes."""
    after = np.full_like(best, -np.inf)
    taken = np.zeros(len(best), dtype=np.int64)
    for count, gain in enumerate(gains[: (len(best) - 1) // cost + 1]):
        start = count * cost
        candidate = best[: len(best) - start] + gain
        better = candidate > after[start:]
        after[start:][better] = candidate[better]
        taken[start:][better] = count
    return after, taken
