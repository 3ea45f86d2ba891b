"""Rules by which others choose the ranks of a smaller adapter, written from their formulas.

All work on one module's singular values at a time, and none knows a parameter budget: each has a
knob, which is turned here until the ranks fit.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Sigma = NDArray[np.float64]
Rule = Callable[[Sigma, float], int]


def sv_ratio(sigma: Sigma, least: float) -> int:
    """kohya's sv_ratio: the values above a share of the largest (there: over its inverse)."""
    return max(1, int((sigma > sigma[0] * least).sum()))


def sv_fro(sigma: Sigma, share: float) -> int:
    """kohya's sv_fro: the fewest with this share of the Frobenius norm.

    With share^2 for its threshold it is PEFT's `convert_to_lora(rank=threshold)`.
    """
    return _reaching(np.square(sigma), share**2)


def sv_cumulative(sigma: Sigma, share: float) -> int:
    """kohya's sv_cumulative: the fewest with this share of the sum of singular values."""
    return _reaching(sigma, share)


def ratio_knob(sigma: Sigma, knob: float) -> int:
    """sv_ratio with a knob of which more keeps more, as the other rules' have it."""
    return sv_ratio(sigma, 1.0 - knob)


RULES: dict[str, Rule] = {
    "sv_ratio (kohya)": ratio_knob,
    "sv_fro (kohya), energy (PEFT)": sv_fro,
    "sv_cumulative (kohya)": sv_cumulative,
}


def ranks_by(
    rule: Rule, sigmas: Mapping[str, Sigma], costs: Mapping[str, int], budget: int
) -> dict[str, int]:
    """Turn a rule's knob up as far as the budget allows; one knob for all modules.

    Returns:
        The ranks; 1 everywhere, the least these rules can give, if that is above the budget.
    """

    def ranks(knob: float) -> dict[str, int]:
        return {name: rule(sigma, knob) for name, sigma in sigmas.items()}

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        fits = sum(costs[name] * rank for name, rank in ranks(middle).items()) <= budget
        low, high = (middle, high) if fits else (low, middle)
    return ranks(low)


def uniform(sigmas: Mapping[str, Sigma], costs: Mapping[str, int], budget: int) -> dict[str, int]:
    """PEFT's `convert_to_lora(rank=k)`: every module cut at one rank, the largest that fits."""
    rank = max(1, budget // sum(costs.values()))
    return {name: min(rank, len(sigma)) for name, sigma in sigmas.items()}


def _reaching(values: Sigma, share: float) -> int:
    sums = np.cumsum(values) / values.sum()
    return min(int(np.searchsorted(sums, share)) + 1, len(values))
