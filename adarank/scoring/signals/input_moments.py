"""Moments of every module's inputs within a bound of memory: in turns, and in few directions."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TypeVar

import torch
from torch import Tensor, nn

from adarank.models.modules import Module
from adarank.scoring.engines.memory import in_turns, memory_bound
from adarank.scoring.signals.moments import Moments, gather_moments
from adarank.scoring.signals.objective import Batch, Objective

Result = TypeVar("Result")
_FLOAT64 = 8  # bytes
_POWERS = 2  # passes over the batches after the first, for inputs followed in few directions


@dataclass(frozen=True)
class Follow:
    """In how many directions inputs are followed.

    Attributes:
        width: Directions of an input of many features.
        all_up_to: Features up to which an input is followed in all directions.
    """

    width: int
    all_up_to: int

    def few(self, d_in: int) -> bool:
        """Whether inputs of so many features are followed in few directions."""
        return d_in > self.all_up_to

    def bytes_of(self, module: Module) -> int:
        """Count what a module's moments hold at most, a new batch's and a basis beside them."""
        columns = 4 * self.width if self.few(module.d_in) else 2 * module.d_in
        return _FLOAT64 * module.d_in * columns


def reduced_moments(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective,
    compute: Callable[[Moments], Result],
    follow: Follow,
    *,
    memory_gb: float | None = None,
    advance: Callable[[], None] = lambda: None,
) -> tuple[list[Result | None], int]:
    """Compute something of the moments of each module's inputs, holding few moments at once.

    Inputs of many features are followed in few directions: power iterations from a fixed random
    basis Q, Q <- qr(C Q) in each pass over the batches but the last (Halko, Martinsson and Tropp
    2011, arXiv 0909.4061), C the inputs' covariance, which is never formed.

    Args:
        model: A transformers model; set to evaluation mode.
        batches: Its inputs; `attention_mask` marks padding, which is left out.
        modules: Whose inputs are looked at.
        objective: Its loss is what runs the model.
        compute: Called once for modules that are given the very same inputs.
        follow: In how many directions.
        memory_gb: Bound in GiB on the moments held at once; modules that do not fit together take
            turns, with forwards of all batches each. None: half of what is free.
        advance: Called after each batch of the first turn's first pass, and after each module.

    Returns:
        A result per module, None for one that is given nothing; and the forwards made, in batches.

    Raises:
        RunError: An input is not finite.
    """
    device = next(model.parameters()).device
    results: list[Result | None] = []
    passes = 0
    gather = partial(_gathered, model, batches, objective)
    bound = memory_bound(device, memory_gb)
    for turn, part in enumerate(in_turns(modules, follow.bytes_of, bound)):
        wide = {module.d_in for module in part if follow.few(module.d_in)}
        start = {d_in: _random_basis(d_in, follow.width).to(device) for d_in in wide}
        bases = [start.get(module.d_in) for module in part]
        moments = gather(part, bases, advance if turn == 0 else _nothing)
        few = [index for index, one in enumerate(moments) if one and one.basis is not None]
        for _ in range(_POWERS if few else 0):
            bases = _for_each([moments[index] for index in few], Moments.next_basis)
            again = gather([part[index] for index in few], bases, _nothing)
            moments = [dict(zip(few, again, strict=True)).get(i, m) for i, m in enumerate(moments)]
        passes += 1 + (_POWERS if few else 0)
        for result in _for_each(moments, compute):
            results.append(result)
            advance()
    return results, passes * len(batches)


def _random_basis(d_in: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(d_in, width, generator=generator).double()).Q


def _gathered(
    model: nn.Module,
    batches: Sequence[Batch],
    objective: Objective,
    modules: Sequence[Module],
    bases: Sequence[Tensor | None],
    advance: Callable[[], None],
) -> list[Moments | None]:
    """Gather the moments of each module, one object for those that share it; None of no input."""
    shared = gather_moments(model, batches, modules, objective, bases=bases, advance=advance)
    summed: dict[tuple[tuple[int, ...], ...], Moments] = {}
    found: list[Moments | None] = []
    for index in range(len(modules)):
        # One group, unless the model shares inputs in one batch and not in the next.
        groups = tuple(group for group in shared if index in group)
        if groups and groups not in summed:
            summed[groups] = reduce(operator.add, (shared[group] for group in groups))
        found.append(summed.get(groups))
    return found


def _for_each(
    moments: Sequence[Moments | None], compute: Callable[[Moments], Result]
) -> list[Result | None]:
    """Compute something of each of the moments, once for those that are the same."""
    made = {id(one): compute(one) for one in {id(m): m for m in moments if m}.values()}
    return [made.get(id(one)) for one in moments]


def _nothing() -> None:
    pass
