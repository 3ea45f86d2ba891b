"""Explained variance of activations: in how few directions a layer's inputs really vary."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from adarank.models.modules import Module
from adarank.scoring.engines.memory import memory_bound
from adarank.scoring.scores import Scores
from adarank.scoring.signals.moments import Moments, Shared, gather_moments
from adarank.scoring.signals.objective import OWN, Batch, Objective
from adarank.scoring.table import spectrum_table

_FLOAT64 = 8  # bytes


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
    incremental decomposition of its published code; but that keeps only the leading directions
    from batch to batch, while these are exact. Uses no label, except that an encoder-decoder
    needs the words that its decoder is given.

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
    spectra: list[np.ndarray] = []
    turns = _turns(modules, bound)
    for turn, part in enumerate(turns):
        after_batch = advance if turn == 0 else _nothing
        shared = gather_moments(model, batches, part, objective, advance=after_batch)
        ratios: dict[tuple[tuple[int, ...], ...], np.ndarray] = {}
        for index, module in enumerate(part):
            # One group, unless the model shares inputs in one batch and not in the next.
            groups = tuple(group for group in shared if index in group)
            if groups not in ratios:
                ratios[groups] = _ratios(groups, shared, module.d_in)
            spectra.append(ratios[groups][:components])
            advance()
    return Scores(spectrum_table(modules, spectra), "forward", len(turns) * len(batches))


def _turns(modules: Sequence[Module], bound: float) -> list[list[Module]]:
    """Cut the modules, in order, into parts whose second moments fit in `bound` bytes.

    Counted as if no two shared their input, and with the new batch's moments beside the sum.
    """
    turns: list[list[Module]] = []
    held = 0
    for module in modules:
        needed = 2 * _FLOAT64 * module.d_in**2
        if not turns or held + needed > bound:
            turns.append([])
            held = 0
        turns[-1].append(module)
        held += needed
    return turns


def _nothing() -> None:
    pass


def _ratios(groups: tuple[tuple[int, ...], ...], shared: Shared, d_in: int) -> np.ndarray:
    if not groups:
        return np.zeros(d_in)
    moments: Moments = shared[groups[0]]
    for group in groups[1:]:
        moments = moments + shared[group]
    variances = moments.variances()
    whole = variances.sum()
    return variances / whole if whole > 0 else np.zeros(d_in)
