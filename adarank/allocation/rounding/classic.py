"""Three classic ways from quotas to integer ranks; none spends more than the budget.

`adarank.allocation.rounding.exact` is the fourth, and the default.
"""

from fractions import Fraction
from heapq import heapify, heappop, heappush
from math import floor

from adarank.allocation.rounding.quota import Case


def floors(case: Case) -> list[int]:
    """Cut every quota down to a whole rank, as the published code of AdaRank does.

    Underspends by what it cuts off; with a least rank of 0 a module may get none
    (Dong 2024, arXiv 2408.09015: floor(share * total)).

    Returns:
        Ranks, one a module of the case.
    """
    return [floor(quota) for quota in case.quotas]


def hamilton(case: Case) -> list[int]:
    """Give the ranks lost to cutting down to the largest remainders, where they fit.

    The method of largest remainder (Hamilton 1792): every rank is its quota, cut down or
    rounded up. A module whose next rank costs more than what is left is passed over. When
    the budget grows, a module may lose a rank (the Alabama paradox).

    Returns:
        Ranks, one a module of the case.
    """
    ranks = floors(case)
    left = floor(case.budget) - case.spend(ranks)
    remainders = [quota - rank for quota, rank in zip(case.quotas, ranks, strict=True)]
    for module in sorted(range(len(ranks)), key=lambda m: -remainders[m]):
        if remainders[module] and case.costs[module] <= left:
            ranks[module] += 1
            left -= case.costs[module]
    return ranks


def dhondt(case: Case) -> list[int]:
    """Give rank after rank to the module with the largest weight / (rank + 1).

    The method of greatest divisors (D'Hondt 1878; Jefferson 1792). The order in which
    ranks are given does not depend on the budget, and the first that does not fit ends it,
    so a larger budget never takes a rank away. Underspends by less than one module's cost.

    Returns:
        Ranks, one a module of the case.
    """
    # Whatever the quotas' whole parts hold comes first in that order, and always fits.
    ranks = floors(case)
    left = floor(case.budget) - case.spend(ranks)
    claims = [_claim(case, module, rank) for module, rank in enumerate(ranks)]
    queue = [claim for claim in claims if claim[1] < case.upper[claim[2]]]
    heapify(queue)
    while queue and (cost := case.costs[queue[0][2]]) <= left:
        _, rank, module = heappop(queue)
        ranks[module] = rank + 1
        left -= cost
        if rank + 1 < case.upper[module]:
            heappush(queue, _claim(case, module, rank + 1))
    return ranks


def _claim(case: Case, module: int, rank: int) -> tuple[Fraction, int, int]:
    return -case.weights[module] / (rank + 1), rank, module
