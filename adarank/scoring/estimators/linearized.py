"""Linearized disagreement: every module from one forward and one backward per sketch.

For small noise, f(W + e1) - f(W + e2) is Gaussian with covariance 2 s^2 J J^T, J the Jacobian of
the output by W, so E|difference_j| = (2 / sqrt(pi)) s ||d f_j / d W|| at output coordinate j. With
u ~ N(0, I) over the coordinates, E ||d (u . f) / d W||^2 = sum_j ||d f_j / d W||^2 (Hutchinson
1989): one backward gives it for every module at once, whatever their number.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from adarank.models.modules import Module
from adarank.scoring.estimators.gradient_norms import GradientNorms
from adarank.scoring.kept import Kept, NothingKept, kept_or_made
from adarank.scoring.noise import Noise, draw_seed, non_finite
from adarank.scoring.outputs import Batch, Output, compared_output
from adarank.scoring.signals.gradients import only_gradients_of
from adarank.scoring.table import score_table
from adarank.scoring.workers import gathered, my_share


@dataclass(frozen=True)
class Linearized:
    """What the linearized estimator does.

    Attributes:
        sketches: Draws of u over the whole probe. Each batch of the probe gives one trial per
            sketch, so the table has sketches * n_batches trials per module.
        noise: The noise that is linearized: its scale and what it is relative to.
        output: The compared output.
        seed: Decides every u.
    """

    sketches: int = 1
    noise: Noise = field(default_factory=Noise)
    output: Output = "pooled"
    seed: int = 0


def linearized(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    settings: Linearized,
    *,
    advance: Callable[[], None] = lambda: None,
    kept: Kept | None = None,
) -> pd.DataFrame:
    """Score modules by linearized disagreement.

    A batch under one sketch gives v_b = (2 / sqrt(pi)) sqrt((s_W^2 ||G_W||^2 + s_b^2 ||G_b||^2)
    / n_coordinates) with G = d (u . f) / d W. The module's score is the mean over sketches of
    m = sum_b n_b v_b / sum_b n_b, n_b the batch's rows: texts, or tokens where every token is
    compared. So a row weighs as it does in `exact`, whatever the batch it is in. The trials of a
    sketch are m + (n_b / mean n) (v_b - m): their mean is m, and their standard error is the
    ratio estimator's (Cochran 1977, Sampling Techniques, 6.4); with equal batches they are the
    v_b. A trial may be negative, a score is not. What is left between the two
    estimators at small noise: v_b is a root mean square over a batch's coordinates, exact's a
    mean. The norms come from the tokens, see GradientNorms. Under torch.distributed, batches are
    shared out.

    Args:
        model: A transformers model; set to evaluation mode, its weights left as they were.
        batches: The probe, best in several equal parts: each gives a trial of its own.
        modules: What to score. Needs no labels.
        settings: See Linearized.
        advance: Called after each (sketch, batch).
        kept: Has what an interrupted run had finished, by (sketch, batch).

    Returns:
        A score table with sketches * n_batches trials per module; see `score_table`.

    Raises:
        RunError: An output or a gradient is not finite.
    """
    model.eval()
    passes = [(s, b) for s in range(settings.sketches) for b in range(len(batches))]
    found: dict[str, np.ndarray] = {}
    norms = GradientNorms(model, modules, settings.noise)
    with only_gradients_of(model, norms.parameters):
        for sketch, index in my_share(passes):
            u_seed = draw_seed(settings.seed, f"sketch {sketch}", index)
            one = partial(_one_pass, model, batches[index], modules, settings, u_seed, norms)
            name = f"sketch {sketch}, batch {index}"
            found[f"{sketch}/{index}"] = kept_or_made(kept or NothingKept(), name, one)
            advance()
    together = gathered(found)
    values = np.stack([together[f"{s}/{b}"] for s, b in passes])  # rows, then a value per module
    sketched = values.reshape(settings.sketches, len(batches), -1)
    trials = [_weighted_trials(of_one[:, 0], of_one[:, 1:]) for of_one in sketched]
    return score_table(modules, np.concatenate(trials).T)


def _weighted_trials(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Turn values per batch into trials whose plain mean weighs every row alike.

    Args:
        rows: Compared rows of each batch, shape (n_batches,).
        values: Shape (n_batches, n_modules).

    Returns:
        Shape (n_batches, n_modules).
    """
    shares = rows / rows.mean()
    mean = (shares[:, None] * values).mean(axis=0)
    return mean + shares[:, None] * (values - mean)


def _one_pass(
    model: nn.Module,
    batch: Batch,
    modules: Sequence[Module],
    settings: Linearized,
    u_seed: int,
    norms: GradientNorms,
) -> np.ndarray:
    coordinates: list[int] = []

    def backward() -> None:
        values = compared_output(model, batch, settings.output).float()
        sketch = torch.randn(values.shape, generator=torch.Generator().manual_seed(u_seed))
        torch.autograd.backward(values, sketch.to(values.device))
        coordinates[:] = [len(values), values.numel()]

    squares = norms(batch, backward)
    rows, n = coordinates
    scores = 2 / math.sqrt(math.pi) * np.sqrt(squares / n)
    for module, score in zip(modules, scores, strict=True):
        if not math.isfinite(score):
            raise non_finite(module.name, settings.noise)
    return np.array([rows, *scores])
