"""Choosing a learning rate: every candidate trained once, judged on validation alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adarank.errors import run_error
from adarank.tasks.base import Better
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.watch import Trained


@dataclass(frozen=True)
class Try:
    """One candidate, trained once.

    Attributes:
        learning_rate: The candidate.
        step: The optimiser step whose weights were best; None if the run diverged.
        value: The metric that decides, on validation, at that step; None where it is undefined
            there, or the run diverged.
        validation: Every metric on validation at that step; empty if the run diverged.
        error: What made the run diverge; None if it did not.
    """

    learning_rate: float
    step: int | None
    value: float | None
    validation: Mapping[str, float | None]
    error: str | None = None


@dataclass(frozen=True)
class Chosen:
    """The learning rate that was chosen, and what it was chosen from.

    Attributes:
        learning_rate: The rate.
        tried: Every candidate in the order given; empty where there was no choice.
    """

    learning_rate: float
    tried: tuple[Try, ...] = ()

    def to_json(self) -> list[dict[str, Any]]:
        """The candidates as a list of records."""
        return [asdict(one) for one in self.tried]


def choose_rate(
    rates: Sequence[float], train_at: Callable[[float], Trained], metric: str, better: Better
) -> Chosen:
    """Train once at every rate and take the best; a rate at which training diverges loses.

    Args:
        rates: The candidates; at least one. A single one is taken as it is, untried.
        train_at: Trains at a rate; raises DivergedError where that fails.
        metric: The validation metric that decides; of equals, the first rate given.
        better: Which way the metric improves.

    Raises:
        RunError: Training diverges at every rate.
    """
    if len(rates) == 1:
        return Chosen(rates[0])
    tried = tuple(_try(rate, train_at, metric) for rate in rates)
    done = [one for one in tried if one.error is None]
    if not done:
        raise run_error(
            "training diverges at every learning rate",
            where="finetune.learning_rate",
            got="; ".join(f"{one.learning_rate:g}: {one.error}" for one in tried),
            expected="at least one rate at which losses and gradients stay finite",
            remedy="lower rates, more warmup, or a smaller max_grad_norm",
        )
    sign = 1 if better == "lower" else -1
    best = min(done, key=lambda one: math.inf if one.value is None else sign * one.value)
    return Chosen(best.learning_rate, tried)


def _try(rate: float, train_at: Callable[[float], Trained], metric: str) -> Try:
    try:
        trained = train_at(rate)
    except DivergedError as error:
        problem = error.problems[0]
        return Try(rate, None, None, {}, f"{problem.where}: {problem.what}")
    return Try(rate, trained.best_step, trained.validation[metric], trained.validation)
