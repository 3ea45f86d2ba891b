"""Explained variance of activations: in how few directions a layer's inputs really vary."""

import operator
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from adarank.models.modules import Module
from adarank.scoring.engines.memory import in_turns, memory_bound
from adarank.scoring.scores import Scores
from adarank.scoring.signals.moments import Moments, gather_moments
from adarank.scoring.signals.objective import OWN, Batch, Objective
from adarank.scoring.table import spectrum_table

Result = TypeVar("Result")
_FLOAT64 = 8  # bytes
_PER_COMPONENT, _POWERS = 4, 2
_MANY = 8  # times the directions followed: inputs up to which all directions are


def activation_variance(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective = OWN,
    *,
    components: int = 64,
    memory_gb: float | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Score every rank of every module by the part of its inputs' variance it can carry.

    score of component i = v_i / (v_1 + ... + v_d_in), v_i the i-th largest eigenvalue of the
    covariance of the module's inputs over all real tokens: the explained variance ratios by which
    EVA shares out ranks (Paischer et al. 2024, arXiv 2410.07170). Means are taken off, as in the
    incremental decomposition of its published code; but that forgets from batch to batch, while
    these are exact where d_in is at most 32 times `components`. Beyond that, four times as many
    directions as components are followed by three passes over the batches (power iterations, the
    last read by Nystrom's approximation), from a fixed generator: d_in x 256 numbers per input in
    place of d_in x d_in. Such v_i are never too large; on activations of trained models the
    smallest of 64 is within 2e-2 of itself, and each within 1e-4 of the sum. Uses no label, except
    that an encoder-decoder needs the words that its decoder is given.

    Args:
        model: A transformers model, with or without a head; set to evaluation mode.
        batches: Train rows; `attention_mask` marks padding, which is left out.
        modules: What to score.
        objective: Its loss is what runs the model.
        components: Most components kept per module.
        memory_gb: Bound in GiB on the second moments held at once; modules that do not fit
            together take turns, a forward of all batches each turn. None: half of what is free.
            The scores are the same.
        advance: Called after each batch of the first turn, and after each module.

    Returns:
        A row per module and component; 0 where a module's inputs never vary.

    Raises:
        RunError: An input is not finite.
    """
    bound = memory_bound(next(model.parameters()).device, memory_gb)
    width = _PER_COMPONENT * components
    spectra: list[np.ndarray] = []
    forwards = 0
    for turn, part in enumerate(in_turns(modules, lambda module: _bytes(module, width), bound)):
        gather = partial(_gathered, model, batches, objective)
        start = {d: _random_basis(d, width) for d in {m.d_in for m in part} if d > _MANY * width}
        bases = [start.get(module.d_in) for module in part]
        moments = gather(part, bases, advance if turn == 0 else _nothing)
        forwards += len(batches)
        few = [index for index, one in enumerate(moments) if one and one.basis is not None]
        for _ in range(_POWERS if few else 0):
            next_bases = _for_each([moments[index] for index in few], Moments.next_basis)
            again = gather([part[index] for index in few], next_bases, _nothing)
            moments = [dict(zip(few, again, strict=True)).get(i, m) for i, m in enumerate(moments)]
            forwards += len(batches)
        ratios = _for_each(moments, _ratios)
        for module, ratio in zip(part, ratios, strict=True):
            spectra.append((np.zeros(module.d_in) if ratio is None else ratio)[:components])
            advance()
    return Scores(spectrum_table(modules, spectra), "forward", forwards)


def _bytes(module: Module, width: int) -> int:
    """Count what a module's moments hold at most, with a new batch's and a basis beside them."""
    exact = module.d_in <= _MANY * width
    return _FLOAT64 * module.d_in * (2 * module.d_in if exact else 4 * width)


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


def _ratios(moments: Moments) -> np.ndarray:
    variances = moments.variances()
    whole = variances.sum() if moments.basis is None else moments.whole()
    return variances / whole if whole > 0 else np.zeros(len(variances))


def _nothing() -> None:
    pass
