"""Disagreement, as the paper states it: the plain double loop over modules and trials.

Slow and obviously right; every faster estimator is held against this one.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from adarank.models.modules import Module, resolve
from adarank.scoring.noise import Noise, disturbed, draw, non_finite
from adarank.scoring.outputs import Batch, Output, compared_output
from adarank.scoring.table import score_table


def disagreement(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    *,
    trials: int = 5,
    noise: Noise | None = None,
    output: Output = "pooled",
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """Score modules by how much two disturbed copies of the model disagree.

    For module m and trial t, with independent noise e1 and e2 on m alone,
    score = mean over texts and output coordinates of |f(W + e1) - f(W + e2)|
    (Dong 2024, arXiv 2408.09015). Costs 2 * trials * n_modules forwards of the probe.

    Args:
        model: A transformers model; set to evaluation mode, its weights left as they were.
        batches: The probe, each batch a mapping of input tensors of shape (batch, ...).
        modules: What to score.
        trials: Independent repetitions per module.
        noise: Scale of the noise; one standard deviation of the weight by default.
        output: The compared output; see `compared_output`.
        seed: With the module's name and the trial, decides every draw.
        advance: Called after each (module, trial).

    Returns:
        A score table of n_modules * trials rows; see `score_table`.

    Raises:
        RunError: An output is not finite, or a weight was not restored.
    """
    noise = noise or Noise()
    model.eval()
    scores = np.zeros((len(modules), trials))
    for row, module in enumerate(modules):
        for trial in range(trials):
            scores[row, trial] = _one_trial(model, batches, module, trial, noise, output, seed)
            advance()
    return score_table(modules, scores)


def _one_trial(
    model: nn.Module,
    batches: Sequence[Batch],
    module: Module,
    trial: int,
    noise: Noise,
    output: Output,
    seed: int,
) -> float:
    first, second = (
        _disturbed_outputs(model, batches, module, index, noise, output, seed)
        for index in (2 * trial, 2 * trial + 1)
    )
    distance = sum((a - b).abs().double().sum().item() for a, b in zip(first, second, strict=True))
    return distance / sum(a.numel() for a in first)


@torch.no_grad()
def _disturbed_outputs(
    model: nn.Module,
    batches: Sequence[Batch],
    module: Module,
    index: int,
    noise: Noise,
    output: Output,
    seed: int,
) -> list[Tensor]:
    layer = model.get_submodule(resolve(model, module.name))
    noise_draw = draw(layer, noise, seed=seed, name=module.name, index=index)
    with disturbed(layer, noise_draw, module.name):
        outputs = [compared_output(model, batch, output).float() for batch in batches]
    if not all(bool(values.isfinite().all()) for values in outputs):
        raise non_finite(module.name, noise)
    return outputs
