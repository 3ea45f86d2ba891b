"""Weight times gradient: how much of the loss hangs on a module's weights as they are."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from adarank.models.modules import Module
from adarank.scoring.scores import Scores
from adarank.scoring.signals.gradients import gradient_turns, mean_gradients
from adarank.scoring.signals.objective import OWN, Batch, Objective
from adarank.scoring.signals.weights import weights_of
from adarank.scoring.table import score_table


def weight_gradient(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective = OWN,
    *,
    memory_gb: float | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Score modules by the sensitivity of the loss to scaling their weights.

    score = mean over the entries of |W * G|, G the gradient of the mean loss by W
    (GoRA; He et al. 2025, arXiv 2502.12171). Needs labels.

    Args:
        model: A transformers model with its head; see `mean_gradients`.
        batches: Labelled train rows.
        modules: What to score.
        objective: The loss; the model's own unless given.
        memory_gb: Bound in GiB on the gradients held at once; modules that do not fit together
            take turns, a forward and backward of all batches each. None: half of what is free.
        advance: Called after each batch of the first turn.

    Returns:
        One trial per module.

    Raises:
        InputError: Nothing labelled.
        RunError: A loss or a gradient is not finite.
    """
    turns = gradient_turns(model, modules, memory_gb)
    gradients = mean_gradients(model, batches, turns, objective, advance=advance)
    scores = [
        float((weight.detach() * gradient).abs().mean(dtype=torch.float64))
        for weight, gradient in zip(weights_of(model, modules), gradients, strict=True)
    ]
    return Scores(
        score_table(modules, np.array(scores)[:, None]), "backward", len(turns) * len(batches)
    )
