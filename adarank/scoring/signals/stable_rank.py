"""Stable rank: how many directions a weight really uses, by the weight alone."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from adarank.models.modules import Module
from adarank.scoring.scores import Scores
from adarank.scoring.signals.spectra import largest_squared_singular_value
from adarank.scoring.signals.weights import not_finite, weights_of
from adarank.scoring.table import score_table


def stable_rank(
    model: nn.Module,
    modules: Sequence[Module],
    *,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Score modules by the stable rank of their weights.

    score = ||W||_F^2 / s_1^2, s_1 the largest singular value of W: at least 1, and at most
    min(d_in, d_out) (Rudelson & Vershynin 2007, arXiv math/0503442). Needs neither texts nor
    labels. s_1 comes from a Lanczos iteration: the score is within 1e-7 of an SVD's.

    Args:
        model: A transformers model, with or without a head; left as it is.
        modules: What to score.
        advance: Called after each module.

    Returns:
        One trial per module; 0 for a weight of zeros.

    Raises:
        RunError: A weight is not finite.
    """
    scores: list[float] = []
    for module, weight in zip(modules, weights_of(model, modules), strict=True):
        if not bool(torch.isfinite(weight).all()):
            raise not_finite("the weight", module)
        largest = largest_squared_singular_value(weight)
        whole = float(weight.detach().double().square().sum())
        scores.append(whole / largest if largest > 0 else 0.0)
        advance()
    return Scores(score_table(modules, np.array(scores)[:, None]), "weights", 0)
