"""From score tables to a rank plan, in one call."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.allocation.bounds import default_min_rank, full_ranks, rank_bounds
from adarank.allocation.plan import RankPlan
from adarank.allocation.plan_cost import Unit
from adarank.allocation.planned import PlannedModule
from adarank.allocation.rounding.apportion import apportion, budget_parameters, check_rounding
from adarank.allocation.rounding.spread import even_spread
from adarank.allocation.scale import Scale
from adarank.allocation.signal import ABOUT_MODULE, Signal, read_signal
from adarank.allocation.spending import counted_first, refuse_settings, too_small
from adarank.allocation.strategies.priced import BlockPrice, Floats, few_blocks
from adarank.allocation.strategies.question import Question
from adarank.allocation.strategies.registry import find_strategy, weigh
from adarank.allocation.strategies.strategy import Strategy
from adarank.allocation.units import Limit, Step, ranks_within, training_flops
from adarank.errors import InputError, Problem, input_error
from adarank.models.bias_norm import BiasNorm

Integers = NDArray[np.int64]

Table = pd.DataFrame | Signal

RATIO = Scale("ratio", 1.0)
"""The default scale: the same factor, 1, for every module."""

STEP = Step()
"""The default step that operations and memory are counted for: 16 rows of 64 tokens."""

BLOCK_PRICE = BlockPrice()
"""The default price of `priced_`: a tenth of the value of all blocks, for each block opened."""


def allocate(
    scores: Table | Mapping[str, Table],
    *,
    budget: float,
    strategy: str = "disagreement",
    rounding: str = "spend_all",
    min_rank: int | None = None,
    max_rank: int | None = None,
    scale: Scale = RATIO,
    seed: int = 0,
    permutations: int = 1,
    model_sha256: str = "",
    defined: Mapping[str, Strategy] | None = None,
    bias_norm: BiasNorm | None = None,
    unit: Unit = "parameters",
    step: Step = STEP,
    block_price: BlockPrice = BLOCK_PRICE,
) -> RankPlan:
    """Decide the LoRA rank of every module.

    Ranks are proportional to the strategy's weights, as closely as whole ranks within the
    bounds can be, and cost what uniform rank `budget` would: budget * sum(d_in + d_out), or its
    operations or memory in another unit. A literal strategy states its ranks itself, and they
    cost what they cost.

    Args:
        scores: Score tables by signal, or one table, which is then of whatever signal the
            strategy needs. `(n_modules * n_trials)` rows each: module, block, kind, d_in, d_out,
            parameters_per_rank, trial, score; with a column `component`, a row for each of
            those too. The order of the rows does not matter. Tables that were read before may
            be given as signals.
        budget: Average rank; may be fractional.
        strategy: A name in `adarank.allocation.strategies.registry.STRATEGIES` or `defined`, or
            `last_K_blocks`; with `reversed_`, `permuted_` or `literal_` before it or not.
        rounding: `spend_all` spends all that can be spent and is closest to the proportions;
            `hamilton` and `floor` spend at most the budget.
        min_rank: Least rank; 0 lets a module go without an adapter. If absent,
            `default_min_rank(budget)`.
        max_rank: Greatest rank; if absent, min(d_in, d_out) of each module, which no
            rank exceeds in any case.
        scale: How alphas follow from ranks.
        seed: Seed of `permuted_`.
        permutations: Independent draws that a plan of `permuted_` holds, for different seeds to
            train; see `RankPlan.for_seed`.
        model_sha256: Hash of the model scored, recorded in the plan.
        defined: User-defined strategies; see `adarank.allocation.strategies.definitions`.
        bias_norm: Biases and norms, as `adarank.find_bias_norm` finds them; strategies with
            `bias_norm_` train them too and spend on ranks what is left.
        unit: What may be spent as much of as uniform rank `budget` would take: `parameters`,
            `training_flops` or `memory`; see `adarank.allocation.units`.
        step: The training step that operations and memory are counted for.
        block_price: What opening a block costs a strategy of the form `priced_`.

    Returns:
        The plan: a rank and an alpha for every module.

    Raises:
        InputError: A malformed table, unknown names, a signal that was not scored, bounds that
            contradict each other, or a budget out of reach within them.

    Example:
        Three modules of 8 parameters per rank, scored once:

        >>> scores = pd.DataFrame({
        ...     "module": ["query", "key", "value"], "block": 0,
        ...     "kind": ["query", "key", "value"], "d_in": 4, "d_out": 4,
        ...     "parameters_per_rank": 8, "trial": 0, "score": [0.5, 0.25, 1.25],
        ... })
        >>> plan = allocate(scores, budget=2)
        >>> plan.ranks, plan.parameters
        ({'key': 1, 'query': 1, 'value': 4}, 48)
        >>> allocate(scores, budget=2, strategy="reversed").ranks
        {'key': 4, 'query': 1, 'value': 1}
    """
    chosen = find_strategy(strategy, defined)
    refuse_settings(chosen, permutations, unit)
    signals = _signals(scores, chosen)
    modules = _modules(signals)
    costs = modules["parameters_per_rank"].to_numpy(dtype=np.int64)
    spend = budget_parameters(budget, costs)
    whole, trained = float(budget), bias_norm if chosen.bias_norm else None
    if chosen.bias_norm:
        spend -= counted_first(strategy, trained, spend)
        budget = float(spend / int(costs.sum()))
    min_rank = default_min_rank(budget) if min_rank is None else min_rank
    bounds = rank_bounds(modules, min_rank, max_rank)
    scale = Scale("rslora", scale.alpha(max(1, round(budget)))) if chosen.rslora else scale
    question = Question(modules, signals, spend, *bounds, seed)
    weighed = _weights(strategy, chosen, question, permutations)
    if chosen.priced:
        weighed = _in_few_blocks(weighed, question, budget, step, block_price)
    limit = None
    if unit != "parameters" and chosen.tuner == "lora" and not chosen.literal:
        limit = Limit.uniform(question, budget, unit, step)
    ranks = [_ranks(strategy, chosen, w, question, budget, rounding, limit) for w in weighed]
    # A permutation of equal weights changes nothing.
    first, *variants = dict.fromkeys(_planned(modules, one, scale) for one in ranks)
    note = _note(chosen, weighed[0], question, budget)
    cost = limit and limit.cost_of([first, *variants])
    return RankPlan(
        schema=2 if variants or note else 1,
        strategy=strategy,
        budget=whole,
        unit=cost.unit if cost else "average_rank",
        parameters=sum(m.parameters for m in first) + (trained.parameters if trained else 0),
        model_sha256=model_sha256,
        scale=scale,
        modules=first,
        tuner=chosen.tuner,
        variants=tuple(variants),
        note=note,
        growth=chosen.growth,
        start=chosen.start,
        rate_ratio=chosen.rate_ratio,
        cost=cost,
        bias_norm=trained,
    )


def _weights(name: str, strategy: Strategy, question: Question, permutations: int) -> list[Floats]:
    """Weigh the modules, once a draw where the strategy is random."""
    draws = range(permutations if strategy.random else 1)
    return [weigh(name, strategy, replace(question, draw=draw)) for draw in draws]


def _in_few_blocks(
    weighed: Sequence[Floats], question: Question, budget: float, step: Step, price: BlockPrice
) -> list[Floats]:
    """Leave weights only in the blocks that are worth their price."""
    flops = None if price.by == "blocks" else training_flops(question, budget, step)
    return [few_blocks(weights, question, price.per_block, flops) for weights in weighed]


def _signals(scores: Table | Mapping[str, Table], strategy: Strategy) -> dict[str, Signal]:
    if not isinstance(scores, Mapping):
        name, *others = strategy.signals or ("scores",)
        if others:
            raise input_error(
                "several signals are needed, and one table is given",
                where="scores",
                expected=f"a table for each of {', '.join(strategy.signals)}",
                remedy="give a mapping from a signal's name to its table",
            )
        scores = {name: scores}
    return {
        name: table if isinstance(table, Signal) else read_signal(table)
        for name, table in scores.items()
    }


def _modules(signals: Mapping[str, Signal]) -> pd.DataFrame:
    """The modules, which must be the same in all signals."""
    if not signals:
        raise input_error("no score table", where="scores", expected="at least one")
    (first, signal), *others = signals.items()
    columns = ["module", *ABOUT_MODULE]
    modules = signal.modules.loc[:, columns]
    for name, other in others:
        if not modules.equals(other.modules.loc[:, columns]):
            raise input_error(
                "the score tables are of different modules",
                where=f"signals {first} and {name}",
                got=f"{len(modules)} and {len(other.modules)} modules",
                expected="the same modules of the same model, in each",
                remedy="score both again, with the same score.modules: `dvc repro`",
            )
    return modules


def _ranks(
    name: str,
    strategy: Strategy,
    weights: NDArray[np.float64],
    question: Question,
    budget: float,
    rounding: str,
    limit: Limit | None,
) -> Integers:
    """Convert a strategy's weights to ranks, `(n_modules,)`."""
    if strategy.literal:
        ranks = _stated(name, weights, question.modules)
    else:
        selected = (weights > 0) | (not strategy.selects)
        lower, upper = (np.where(selected, b, 0) for b in (question.lower, question.upper))
        turns = even_spread(question.modules)
        if limit is None:
            ranks = apportion(
                weights,
                question.costs,
                budget=budget,
                lower=lower,
                upper=upper,
                rounding=rounding,
                turns=turns,
            )
        else:
            check_rounding(rounding)
            fill = rounding != "floor"
            ranks = ranks_within(weights, limit, lower=lower, upper=upper, turns=turns, fill=fill)
    if strategy.tuner != "full" and not ranks.any():
        raise too_small(budget, rounding, question.modules)
    return ranks


def _note(
    strategy: Strategy, weights: NDArray[np.float64], question: Question, budget: float
) -> str:
    """Describe bounds that force uniform ranks on a strategy that weighs modules differently."""
    costs, lower = question.costs, question.lower
    decided = strategy.literal or strategy.selects or bool(np.all(weights == weights[0]))
    if decided or question.budget - int(costs @ lower) >= int(costs.min()):
        return ""
    return (
        f"budget {budget:g} with min_rank {lower[0]} leaves nothing to decide: this plan is "
        f"uniform, whatever the strategy; set min_rank: {lower[0] - 1} or raise the budget"
    )


def _stated(name: str, weights: NDArray[np.float64], modules: pd.DataFrame) -> Integers:
    ranks = np.floor(weights).astype(np.int64)
    above = zip(modules["module"], ranks, full_ranks(modules), strict=True)
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
