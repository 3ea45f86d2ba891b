"""Explained variance of activations: in how few directions a layer's inputs really vary."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from adarank.models.modules import Module
from adarank.scoring.scores import Scores
from adarank.scoring.signals.input_moments import Follow, reduced_moments
from adarank.scoring.signals.moments import Moments
from adarank.scoring.signals.objective import OWN, Batch, Objective
from adarank.scoring.table import spectrum_table

_PER_COMPONENT = 4  # directions followed
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
    width = _PER_COMPONENT * components
    ratios, forwards = reduced_moments(
        model,
        batches,
        modules,
        objective,
        _ratios,
        Follow(width, all_up_to=_MANY * width),
        memory_gb=memory_gb,
        advance=advance,
    )
    spectra = [
        (np.zeros(module.d_in) if ratio is None else ratio)[:components]
        for module, ratio in zip(modules, ratios, strict=True)
    ]
    return Scores(spectrum_table(modules, spectra), "forward", forwards)


def _ratios(moments: Moments) -> np.ndarray:
    variances = moments.variances()
    whole = variances.sum() if moments.basis is None else moments.whole()
    return variances / whole if whole > 0 else np.zeros(len(variances))
