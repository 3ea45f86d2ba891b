"""Choosing learning rates: every candidate trained once a seed, judged on validation alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from adarank.errors import run_error
from adarank.tasks.base import Better
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.watch import Trained


@dataclass(frozen=True)
class Rates:
    """The rates of a run.

    Attributes:
        learning_rate: The schedule's height.
        rate_ratio: The rate of B over that of A.
    """

    learning_rate: float
    rate_ratio: float = 1.0

    def __str__(self) -> str:
        ratio = "" if self.rate_ratio == 1 else f" (B's times {self.rate_ratio:g})"
        return f"{self.learning_rate:g}{ratio}"


@dataclass(frozen=True)
class Try:
    """One candidate, trained once.

    Attributes:
        learning_rate: The candidate's.
        rate_ratio: The candidate's.
        seed: What it was trained with.
        step: The optimiser step whose weights were best; None if the run diverged.
        value: The metric that decides, on validation, at that step; None where it is undefined
            there, or the run diverged.
        validation: Every metric on validation at that step; empty if the run diverged.
        error: What made the run diverge; None if it did not.
    """

    learning_rate: float
    rate_ratio: float
    seed: int
    step: int | None
    value: float | None
    validation: Mapping[str, float | None]
    error: str | None = None

    @property
    def rates(self) -> Rates:
        """The candidate."""
        return Rates(self.learning_rate, self.rate_ratio)


@dataclass(frozen=True)
class Chosen:
    """The rates that were chosen, and what they were chosen from.

    Attributes:
        rates: The candidate.
        tried: Every candidate in the order given, a try a seed; empty where there was no choice.
    """

    rates: Rates
    tried: tuple[Try, ...] = ()

    def to_json(self) -> list[dict[str, Any]]:
        """The tries as a list of records."""
        return [asdict(one) for one in self.tried]


def choose_rates(
    candidates: Sequence[Rates],
    seeds: Sequence[int],
    train_at: Callable[[Rates, int], Trained],
    metric: str,
    better: Better,
) -> Chosen:
    """Train every candidate once a seed and take the one of the best mean.

    A candidate whose training diverges with any of the seeds, or whose metric is undefined with
    one, loses against every other.

    Args:
        candidates: At least one. A single one is taken as it is, untried.
        seeds: What each is tried with; at least one.
        train_at: Trains a candidate with a seed; raises DivergedError where that fails.
        metric: The validation metric that decides; of equals, the first candidate given.
        better: Which way the metric improves.

    Raises:
        RunError: Training diverges at every candidate.
    """
    if len(candidates) == 1:
        return Chosen(candidates[0])
    tried = {rates: [_try(rates, s, train_at, metric) for s in seeds] for rates in candidates}
    done = {rates: tries for rates, tries in tried.items() if not any(t.error for t in tries)}
    if not done:
        failed = (next(t for t in tries if t.error) for tries in tried.values())
        raise run_error(
            "training diverges at every learning rate",
            where="finetune.learning_rate",
            got="; ".join(f"{one.rates}: {one.error}" for one in failed),
            expected="at least one rate at which losses and gradients stay finite",
            remedy="lower rates, more warmup, or a smaller max_grad_norm",
        )
    sign = 1 if better == "lower" else -1

    def mean(rates: Rates) -> float:
        return fmean(math.inf if t.value is None else sign * t.value for t in done[rates])

    return Chosen(min(done, key=mean), tuple(t for tries in tried.values() for t in tries))


def _try(rates: Rates, seed: int, train_at: Callable[[Rates, int], Trained], metric: str) -> Try:
    at = rates.learning_rate, rates.rate_ratio, seed
    try:
        trained = train_at(rates, seed)
    except DivergedError as error:
        problem = error.problems[0]
        return Try(*at, None, None, {}, f"{problem.where}: {problem.what}")
    return Try(*at, trained.best_step, trained.validation[metric], trained.validation)
