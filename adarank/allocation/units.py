"""Budgets in what users pay: the operations of a training step, or the memory that it needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.cost import training_cost
from adarank.allocation.plan_cost import PlanCost, Unit
from adarank.allocation.planned import PlannedModule
from adarank.allocation.strategies.question import Question
from adarank.errors import input_error
from adarank.models.kinds import ATTENTION, FEED_FORWARD
from adarank.models.modules import Module

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BYTES_PER_PARAMETER = 16
"""A trained float32 number, its gradient, and AdamW's two moments."""


@dataclass(frozen=True)
class Step:
    """The training step that costs are counted for.

    Attributes:
        rows: Rows of a step.
        tokens: Tokens of a row.
        stored_prefix: Whether the outputs of the blocks before the first adapted one are stored.
        last_row: Whether the last block computes one token where it can.
    """

    rows: int = 16
    tokens: int = 64
    stored_prefix: bool = False
    last_row: bool = False


def price(unit: Unit, modules: Sequence[Module], ranks: Mapping[str, float], step: Step) -> float:
    """Compute what ranks cost in a unit.

    Args:
        unit: `parameters`, `training_flops` or `memory`.
        modules: Every linear module of the model's one stack of blocks.
        ranks: By module name; those of a uniform budget may be fractional.
        step: The training step; ignored for parameters.

    Example:
        >>> value, dense = (Module(kind, 0, kind, 8, 8) for kind in ("value", "dense"))
        >>> price("parameters", [value, dense], {"dense": 2}, Step())
        32.0
        >>> ranks = {"dense": 2}, {"value": 2}
        >>> late, early = (price("memory", [value, dense], one, Step()) for one in ranks)
        >>> late < early  # adapting value keeps attention for the way back
        True
    """
    spent = sum(ranks.get(module.name, 0) * module.parameters_per_rank for module in modules)
    if unit == "parameters":
        return float(spent)
    cost = training_cost(
        modules, ranks, step.tokens, stored_prefix=step.stored_prefix, last_row=step.last_row
    )
    if unit == "training_flops":
        return step.rows * cost.flops
    return step.rows * cost.kept_bytes + BYTES_PER_PARAMETER * spent


@dataclass(frozen=True)
class Limit:
    """What plans may cost in a unit: as much as uniform ranks of the budget.

    Attributes:
        unit: `training_flops` or `memory`.
        most: What may be spent.
        modules: What is adapted, in the order of the ranks.
        step: The training step.
    """

    unit: Literal["training_flops", "memory"]
    most: float
    modules: tuple[Module, ...]
    step: Step

    @classmethod
    def uniform(
        cls,
        question: Question,
        budget: float,
        unit: Literal["training_flops", "memory"],
        step: Step,
    ) -> "Limit":
        """Price uniform ranks, which may be fractional.

        Raises:
            InputError: The modules are not all linear ones of one stack of blocks.
        """
        modules = _modules_of(question, "allocate.unit", "allocate.unit: parameters")
        most = price(unit, modules, {module.name: budget for module in modules}, step)
        return cls(unit, most, tuple(modules), step)

    def price(self, ranks: Integers) -> float:
        """Price ranks, `(n_modules,)`."""
        pairs = zip(self.modules, ranks.tolist(), strict=True)
        return price(self.unit, self.modules, {m.name: rank for m, rank in pairs}, self.step)

    def cost_of(self, draws: Sequence[Sequence[PlannedModule]]) -> PlanCost:
        """Price the draws of a plan."""
        ranks = [{module.name: module.rank for module in draw} for draw in draws]
        spent = (price(self.unit, self.modules, one, self.step) for one in ranks)
        return PlanCost(self.unit, self.most, tuple(spent))


def ranks_within(
    weights: Floats,
    limit: Limit,
    *,
    lower: Integers,
    upper: Integers,
    turns: Integers,
    fill: bool = True,
) -> Integers:
    """Convert weights to ranks that cost at most a limit.

    Costs need not be proportional to ranks: the first rank of a module, or of a block, may cost
    far more than the next. Ranks are floor(t w_m) within their bounds, for the largest level t
    that the limit allows. The level then rises on, and every module takes its next rank in
    turn where that still fits. So no module can take one more rank within the limit.

    Args:
        weights: Finite, not negative, `(n_modules,)`.
        limit: The most that may be spent.
        lower: Least rank, `(n_modules,)`.
        upper: Greatest rank, `(n_modules,)`; modules without a weight stay at their least.
        turns: Positions of the modules: of equal weights, the first here comes first.
        fill: Whether to take further ranks after rounding down.

    Raises:
        InputError: The least ranks alone cost more.
    """

    def at(level: float) -> Integers:
        # A rank that is whole but for the last digits of t w is that rank.
        whole = np.floor(np.minimum(level * weights * (1 + 1e-12), upper))
        return np.clip(whole.astype(np.int64), lower, upper)

    if limit.price(lower) > limit.most:
        raise _out_of_reach(limit, limit.price(lower))
    rising = np.flatnonzero((weights > 0) & (upper > lower))
    if not rising.size:
        return lower.copy()
    low, high = 0.0, float((upper[rising] / weights[rising]).max()) * (1 + 1e-9)
    if limit.price(at(high)) <= limit.most:
        return at(high)
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (middle, high) if limit.price(at(middle)) <= limit.most else (low, middle)
    ranks, place = at(low), np.argsort(turns)
    waiting = [((ranks[m] + 1) / weights[m], place[m], m) for m in rising if ranks[m] < upper[m]]
    heapify(waiting)
    while fill and waiting:
        _, turn, m = heappop(waiting)
        ranks[m] += 1
        if limit.price(ranks) > limit.most:
            ranks[m] -= 1  # costs only grow with ranks, so it will never fit
        elif ranks[m] < upper[m]:
            heappush(waiting, ((ranks[m] + 1) / weights[m], turn, m))
    return ranks


def training_flops(
    question: Question, budget: float, step: Step
) -> Callable[[NDArray[np.bool_]], float]:
    """Return what computes a step's operations with some modules adapted, at rank `budget`."""
    modules = _modules_of(question, "allocate.priced_by", "allocate.priced_by: blocks")

    def of_adapted(adapted: NDArray[np.bool_]) -> float:
        chosen = zip(modules, adapted.tolist(), strict=True)
        ranks = {module.name: budget for module, marked in chosen if marked}
        return price("training_flops", modules, ranks, step)

    return of_adapted


def _modules_of(question: Question, where: str, instead: str) -> list[Module]:
    """Make modules of a question's table, for the cost model.

    Raises:
        InputError: The table is not of all linear modules of one stack of blocks.
    """
    columns = ("module", "block", "kind", "d_in", "d_out")
    rows = zip(*(question.modules[column].tolist() for column in columns), strict=True)
    modules = [Module(*row) for row in rows]
    known, feed_forward = {*ATTENTION.values()}, {*FEED_FORWARD.values()}
    crossing = [module.name for module in modules if module.kind.startswith("cross_")]
    for block in sorted({module.block for module in modules}):
        kinds = {module.kind for module in modules if module.block == block}
        if crossing or not (kinds & known and kinds & feed_forward):
            raise input_error(
                "costs can be counted for all linear modules of one stack of blocks alone",
                where=where,
                got=f"a decoder that reads an encoder: {crossing[0]}"
                if crossing
                else f"block {block} with {', '.join(sorted(kinds))} alone",
                expected="attention and feed-forward modules in every block",
                remedy=f"score.modules: [all-linear]; or {instead}",
            )
    return modules


def _out_of_reach(limit: Limit, least: float) -> Exception:
    return input_error(
        "budget out of reach",
        where="budget",
        got=f"{limit.most:,.4g} of {limit.unit}",
        expected=f"at least {least:,.4g}, which the least ranks cost",
        remedy="lower min_rank (0 lets a module go without an adapter), or raise the budget",
    )
