"""The gradient's leading directions: where a module's adapter begins along the task's gradient."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from adarank.models.modules import Module
from adarank.scoring.directions import directions_table
from adarank.scoring.scores import Scores
from adarank.scoring.signals.gradients import gradient_turns, mean_gradients
from adarank.scoring.signals.objective import OWN, Batch, Objective
from adarank.scoring.signals.weights import layers_of

_SMALL = 512  # up to this smaller side, an exact decomposition takes no time
_ITERATIONS = 6  # of the randomised one: errors fall as (s_(k + 10) / s_k)^13


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
        values, vectors = leading_right(_by_output(gradient, transposed), components)
        spectra.append(values**2)
        directions.append(vectors)
        advance()
    table = directions_table(modules, spectra, directions)
    return Scores(table, "backward", len(turns) * len(batches))


def leading_right(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the leading singular values and right singular vectors of a matrix.

    Exact where its smaller side is at most 512; else randomised subspace iteration (Halko,
    Martinsson and Tropp 2011, arXiv 0909.4061) from a fixed seed.

    Args:
        matrix: Shape (rows, columns).
        count: How many at most.

    Returns:
        Values, shape (n,), highest first, and orthonormal vectors, shape (n, columns), with
        n = min(count, rows, columns).
    """
    count = min(count, *matrix.shape)
    # Of a gradient of 1e-20, float32's squares would be 0.
    wide = matrix.astype(np.float64)
    if min(wide.shape) <= max(_SMALL, 2 * count):
        _, values, vectors = np.linalg.svd(wide, full_matrices=False)
        return values[:count], vectors[:count]
    svd: Any = randomized_svd
    _, values, vectors = svd(wide, count, n_iter=_ITERATIONS, random_state=0)
    return values, vectors


def _by_output(gradient: Tensor, transposed: bool) -> np.ndarray:
    """Shape (d_out, d_in)."""
    values = gradient.detach().cpu().numpy()
    return values.T if transposed else values
