"""Two classic ways from quotas to integer ranks; neither spends more than the budget.

`adarank.allocation.rounding.spend_all` is the third, and the default.
"""

from math import floor

from adarank.allocation.rounding.quota import Case


def floors(case: Case) -> list[int]:
    """Round every quota down, as the published code of AdaRank does.

    Underspends by the remainders; with a least rank of 0 a module may get none
    (Dong 2024, arXiv 2408.09015: floor(share * total)).

    Returns:
        Ranks, one per module of the case.
    """
    return [floor(quota) for quota in case.quotas]


def hamilton(case: Case) -> list[int]:
    """Round down, then add one rank to the largest remainders that still fit.

    The method of largest remainder (Hamilton 1792): every rank is its quota, rounded down or
    up. A module whose next rank costs more than what is left is passed over. When the budget
    grows, a module may lose a rank (the Alabama paradox).

    Returns:
        Ranks, one per module of the case.
    """
    ranks = floors(case)
    left = floor(case.budget) - case.spend(ranks)
    remainders = [quota - rank for quota, rank in zip(case.quotas, ranks, strict=True)]
    for module in sorted(range(len(ranks)), key=lambda m: -remainders[m]):
        if remainders[module] and case.costs[module] <= left:
            ranks[module] += 1
            left -= case.costs[module]
    return ranks
