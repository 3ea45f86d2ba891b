"""Greedy assignment, rank by rank: for signals with a value for each further rank."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.strategies.question import Question
from adarank.errors import input_error

Weights = NDArray[np.float64]


def greedy(name: str, *, per_parameter: bool) -> Callable[[Question], Weights]:
    """Return a strategy that assigns ranks greedily by component value.

    A module's next rank is worth the next of its components. Assignment ends where the budget
    does, within a rank if necessary; apportionment rounds that one.

    Args:
        name: The signal, with components.
        per_parameter: Whether a value counts per parameter that its rank costs.
    """

    def weigh(question: Question) -> Weights:
        owners, values = _offers(name, question)
        costs = question.costs
        left = question.budget - int(costs @ question.lower)
        worth = values / costs[owners] if per_parameter else values
        order = np.lexsort((owners, -worth))
        ranks = question.lower.astype(np.float64)
        for owner in owners[order]:
            step = min(Fraction(1), left / int(costs[owner]))
            if step <= 0:
                return ranks
            ranks[owner] += float(step)
            left -= step * int(costs[owner])
        if left > 0:
            _check_exhausted(name, question)
        return ranks

    return weigh


def _offers(name: str, question: Question) -> tuple[NDArray[np.int64], Weights]:
    """Every rank between the bounds that has a value: its module and that value."""
    components = question.signal(name).components
    if components is None:
        raise input_error(
            "the signal has one value per module, not one per rank",
            where=f"signal {name}",
            expected="a score table with a column `component`",
            remedy=f"score again: `dvc repro score_task@{name}`",
        )
    bounds = zip(components, question.lower, question.upper, strict=True)
    parts = [values[low:high] for values, low, high in bounds]
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return owners, np.concatenate(parts)


def _check_exhausted(name: str, question: Question) -> None:
    components = question.signal(name).components or ()
    kept = min(len(values) for values in components)
    if all(len(c) >= high for c, high in zip(components, question.upper, strict=True)):
        return
    raise input_error(
        "the budget buys more ranks than the signal has values for",
        where=f"signal {name}",
        got=f"{kept} components a module at least, {float(question.budget):,.10g} parameters",
        expected="a component for every rank that the budget can buy",
        remedy="raise signal.components and score again, or lower the budget",
    )
