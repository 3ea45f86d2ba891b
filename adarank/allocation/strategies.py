"""Strategies: a weight per module, from the per-module score table.

A strategy is a function of the table and a seed; ranks follow from the weights by
`adarank.allocation.apportion`. To add one, write the function and name it in STRATEGIES.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.errors import input_error

Weights = NDArray[np.float64]
Strategy = Callable[[pd.DataFrame, int], Weights]


def uniform(table: pd.DataFrame, seed: int) -> Weights:  # noqa: ARG001
    """Weigh every module alike."""
    return np.ones(len(table))


def disagreement(table: pd.DataFrame, seed: int) -> Weights:  # noqa: ARG001
    """Weigh a module by its mean score (Dong 2024, arXiv 2408.09015)."""
    return table["score"].to_numpy(dtype=np.float64)


def reversed_of(strategy: Strategy) -> Strategy:
    """Make the control that gives the k-th highest weight to the k-th lowest module.

    The weights stay the same, so a strategy that beats this control owes it to which
    module got which weight, not to their inequality.
    """

    def turned(table: pd.DataFrame, seed: int) -> Weights:
        weights = strategy(table, seed)
        ascending = np.lexsort((table["module"].to_numpy(), weights))
        swapped = np.empty_like(weights)
        swapped[ascending] = weights[ascending[::-1]]
        return swapped

    return turned


def permuted_of(strategy: Strategy) -> Strategy:
    """Make the control that deals the weights out at random, by the seed."""

    def dealt(table: pd.DataFrame, seed: int) -> Weights:
        weights = strategy(table, seed)
        by_name = np.argsort(table["module"].to_numpy(), kind="stable")
        shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(by_name)
        mixed = np.empty_like(weights)
        mixed[by_name] = weights[shuffled]
        return mixed

    return dealt


STRATEGIES: dict[str, Strategy] = {
    "uniform": uniform,
    "disagreement": disagreement,
    "reversed": reversed_of(disagreement),
    "permuted": permuted_of(disagreement),
}


def weigh(strategy: str, table: pd.DataFrame, seed: int = 0) -> Weights:
    """Weigh every module by the strategy of that name.

    Args:
        strategy: A name in STRATEGIES.
        table: `(n_modules)` rows, as `adarank.allocation.table.per_module` makes them.
        seed: Seed of what the strategy draws at random; most draw nothing.

    Returns:
        Weights, one a row of the table, shape `(n_modules,)`.

    Raises:
        InputError: Unknown strategy, or weights that are negative, not finite or all zero.
    """
    if strategy not in STRATEGIES:
        raise input_error(
            "unknown strategy",
            where="strategy",
            got=strategy,
            expected=f"one of {', '.join(sorted(STRATEGIES))}",
            remedy="mend the name, or add it to STRATEGIES in adarank/allocation/strategies.py",
        )
    weights = STRATEGIES[strategy](table, seed)
    _check(strategy, table, weights)
    return weights


def _check(strategy: str, table: pd.DataFrame, weights: Weights) -> None:
    bad = ~np.isfinite(weights) | (weights < 0)
    if bad.any():
        pairs = zip(table["module"][bad], weights[bad].tolist(), strict=True)
        raise input_error(
            f"weights of {int(bad.sum())} of {len(weights)} modules cannot be used",
            where=f"strategy {strategy}",
            got=dict(pairs),
            expected="finite numbers, not negative",
            remedy="look at the scores: their noise may be too large for the model",
        )
    if not weights.any():
        raise input_error(
            "all weights are zero, so no module can be preferred",
            where=f"strategy {strategy}",
            got=f"{len(weights)} modules of weight 0",
            expected="at least one positive weight",
            remedy="use the strategy uniform, or score with more noise or other probe texts",
        )
