"""The gradient's leading directions: where a module's adapter begins along the task's gradient."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn
from transformers.pytorch_utils import Conv1D

from adarank.models.modules import Module
from adarank.scoring.directions import directions_table
from adarank.scoring.scores import Scores
from adarank.scoring.signals.gradients import gradient_turns, mean_gradients
from adarank.scoring.signals.objective import OWN, Batch, Objective
from adarank.scoring.signals.spectra import leading_right
from adarank.scoring.signals.weights import layers_of


def gradient_directions(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective = OWN,
    *,
    components: int = 64,
    memory_gb: float | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Find the leading right singular vectors of each module's mean gradient.

    For G = sum_i s_i u_i v_i^T, the gradient of the mean loss by W: the directions v_i, with
    s_i^2 as the component's score. The start `gradient` begins A along them. Needs labels.

    Args:
        model: A transformers model with its head; see `mean_gradients`.
        batches: Labelled train rows.
        modules: Whose gradients are decomposed.
        objective: The loss; the model's own unless given.
        components: Most directions kept per module: the highest rank that can begin along them.
        memory_gb: Bound in GiB on the gradients held at once; see `gradient_spectrum`.
        advance: Called after each batch of the first turn, then after each module's decomposition.

    Returns:
        A row per module and component, with its direction; see `directions_of`.

    Raises:
        InputError: Nothing labelled.
        RunError: A loss or a gradient is not finite.
    """
    turns = gradient_turns(model, modules, memory_gb)
    gradients = mean_gradients(model, batches, turns, objective, advance=advance)
    spectra: list[np.ndarray] = []
    directions: list[np.ndarray] = []
    for module, gradient in zip(modules, gradients, strict=True):
        transposed = isinstance(layers_of(model, module)[0], Conv1D)
        # By output: shape (d_out, d_in).
        values, vectors = leading_right(gradient.mT if transposed else gradient, components)
        spectra.append(values**2)
        directions.append(vectors)
        advance()
    table = directions_table(modules, spectra, directions)
    return Scores(table, "backward", len(turns) * len(batches))
