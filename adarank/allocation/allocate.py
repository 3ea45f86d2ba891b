"""From score tables to a rank plan, in one call."""

from collections.abc import Mapping
from operator import index

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.allocation.plan import PlannedModule, RankPlan
from adarank.allocation.rounding.apportion import apportion, budget_parameters
from adarank.allocation.rounding.spread import even_spread
from adarank.allocation.scale import Scale
from adarank.allocation.signal import ABOUT_MODULE, Signal, read_signal
from adarank.allocation.strategies.question import Question
from adarank.allocation.strategies.registry import Strategy, find_strategy, weigh
from adarank.errors import InputError, Problem, input_error

Integers = NDArray[np.int64]

RATIO = Scale("ratio", 1.0)
"""The default scale: the same factor, 1, for every module."""


def allocate(
    scores: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    budget: float,
    strategy: str = "disagreement",
    rounding: str = "exact",
    min_rank: int = 1,
    max_rank: int | None = None,
    scale: Scale = RATIO,
    seed: int = 0,
    model_sha256: str = "",
    defined: Mapping[str, Strategy] | None = None,
) -> RankPlan:
    """Decide the LoRA rank of every module.

    Ranks are proportional to the strategy's weights, as closely as whole ranks within the
    bounds can be, and cost what uniform rank `budget` would: budget * sum(d_in + d_out). A
    literal strategy states its ranks itself, and they cost what they cost.

    Args:
        scores: Score tables by signal, or one table, which is then of whatever signal the
            strategy needs. `(n_modules * n_trials)` rows each: module, block, kind, d_in, d_out,
            parameters_per_rank, trial, score; with a column `component`, a row for each of
            those too. The order of the rows does not matter.
        budget: Average rank; may be fractional.
        strategy: A name in `adarank.allocation.strategies.registry.STRATEGIES` or `defined`, with
            `reversed_`, `permuted_` or `literal_` before it or not.
        rounding: `exact` spends all that can be spent and is closest to the proportions;
            `hamilton`, `dhondt` and `floor` spend at most the budget.
        min_rank: Least rank; 0 lets a module go without an adapter.
        max_rank: Greatest rank; if absent, min(d_in, d_out) of each module, which no
            rank exceeds in any case.
        scale: How alphas follow from ranks.
        seed: Of `permuted_`.
        model_sha256: Hash of the model scored, recorded in the plan.
        defined: Strategies of one's own; see `adarank.allocation.strategies.definitions`.

    Returns:
        The plan: a rank and an alpha for every module.

    Raises:
        InputError: A malformed table, unknown names, a signal that was not scored, bounds that
            contradict each other, or a budget out of reach within them.
    """
    chosen = find_strategy(strategy, defined)
    signals = _signals(scores, chosen)
    modules = _modules(signals)
    lower, upper = _bounds(modules, min_rank, max_rank)
    spend = budget_parameters(budget, modules["parameters_per_rank"].to_numpy(dtype=np.int64))
    question = Question(modules, signals, spend, lower, upper, seed)
    weights = weigh(strategy, chosen, question)
    ranks = (
        _stated(strategy, weights, modules)
        if chosen.literal
        else _shared_out(weights, question, budget, rounding)
    )
    if chosen.tuner != "full" and not ranks.any():
        raise _too_small(budget, rounding, modules)
    scale = Scale("rslora", scale.alpha(max(1, round(budget)))) if chosen.rslora else scale
    planned = _planned(modules, ranks, scale)
    return RankPlan(
        schema=1,
        strategy=strategy,
        budget=float(budget),
        unit="average_rank",
        parameters=sum(module.parameters for module in planned),
        model_sha256=model_sha256,
        scale=scale,
        modules=planned,
        tuner=chosen.tuner,
        growth=chosen.growth,
    )


def _signals(
    scores: pd.DataFrame | Mapping[str, pd.DataFrame], strategy: Strategy
) -> dict[str, Signal]:
    if isinstance(scores, pd.DataFrame):
        name, *others = strategy.signals or ("scores",)
        if others:
            raise input_error(
                "several signals are needed, and one table is given",
                where="scores",
                expected=f"a table for each of {', '.join(strategy.signals)}",
                remedy="give a mapping from a signal's name to its table",
            )
        scores = {name: scores}
    return {name: read_signal(table) for name, table in scores.items()}


def _modules(signals: Mapping[str, Signal]) -> pd.DataFrame:
    """The modules, of which all signals must be."""
    if not signals:
        raise input_error("no score table", where="scores", expected="at least one")
    (first, signal), *others = signals.items()
    columns = ["module", *ABOUT_MODULE]
    mine = signal.modules.loc[:, columns]
    for name, other in others:
        if not mine.equals(other.modules.loc[:, columns]):
            raise input_error(
                "the score tables are of different modules",
                where=f"signals {first} and {name}",
                got=f"{len(mine)} and {len(other.modules)} modules",
                expected="the same modules of the same model, in each",
                remedy="score both again, with the same score.modules: `dvc repro`",
            )
    return mine


def _bounds(
    modules: pd.DataFrame, min_rank: int, max_rank: int | None
) -> tuple[Integers, Integers]:
    """The least and greatest rank of every module, `(n_modules,)` each."""
    full = _full(modules)
    problems: list[Problem] = []
    if min_rank < 0:
        problems.append(Problem("no such rank", "min_rank", min_rank, "0 or more"))
    if max_rank is not None and max_rank < max(min_rank, 1):
        at_least = f"at least min_rank ({min_rank}) and 1, or null"
        remedy = "raise max_rank, or lower min_rank"
        problems.append(Problem("no such rank", "max_rank", max_rank, at_least, remedy))
    if full.min() < min_rank:
        narrowest = int(full.argmin())
        name, limit = modules["module"].tolist()[narrowest], int(full[narrowest])
        expected = f"at most {limit}, the smaller dimension of {name}"
        what, remedy = "more than a module can take", "lower min_rank"
        problems.append(Problem(what, "min_rank", min_rank, expected, remedy))
    if problems:
        raise InputError(*problems)
    upper = full if max_rank is None else np.minimum(full, min(index(max_rank), int(full.max())))
    return np.full_like(full, index(min_rank)), upper


def _full(modules: pd.DataFrame) -> Integers:
    """Full rank of every module, `(n_modules,)`."""
    return modules[["d_in", "d_out"]].min(axis=1).to_numpy(dtype=np.int64)


def _shared_out(
    weights: NDArray[np.float64], question: Question, budget: float, rounding: str
) -> Integers:
    return apportion(
        weights,
        question.costs,
        budget=budget,
        lower=question.lower,
        upper=question.upper,
        rounding=rounding,
        turns=even_spread(question.modules),
    )


def _stated(name: str, weights: NDArray[np.float64], modules: pd.DataFrame) -> Integers:
    ranks = np.floor(weights).astype(np.int64)
    above = zip(modules["module"], ranks, _full(modules), strict=True)
    problems = [
        Problem(
            "a rank above the module's smaller dimension",
            f"strategy {name}: {module}",
            int(rank),
            f"at most {most}",
            "state a lower one, or leave `literal_` out: ranks are then scaled to the budget",
        )
        for module, rank, most in above
        if rank > most
    ]
    if problems:
        raise InputError(*problems)
    return ranks


def _planned(modules: pd.DataFrame, ranks: Integers, scale: Scale) -> tuple[PlannedModule, ...]:
    rows = modules.assign(rank=ranks).sort_values(["block", "module"])
    return tuple(
        PlannedModule(
            name=row["module"],
            block=row["block"],
            kind=row["kind"],
            rank=row["rank"],
            alpha=scale.alpha(row["rank"]),
            parameters=row["rank"] * row["parameters_per_rank"],
        )
        for row in rows.to_dict("records")
    )


def _too_small(budget: float, rounding: str, modules: pd.DataFrame) -> InputError:
    costs = modules["parameters_per_rank"]
    least = costs.min() / costs.sum()
    return input_error(
        "no module gets a rank",
        where="budget",
        got=f"average rank {budget:g}, rounding {rounding}",
        expected=f"at least {least:.3g} with rounding exact: one rank of the smallest module",
        remedy="raise the budget, or use rounding: exact",
    )
