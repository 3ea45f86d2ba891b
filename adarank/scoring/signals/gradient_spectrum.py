"""The gradient's spectrum: what each further rank of a module gains at first order."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from adarank.models.modules import Module
from adarank.scoring.scores import Scores
from adarank.scoring.signals.gradients import gradient_turns, mean_gradients
from adarank.scoring.signals.objective import OWN, Batch, Objective
from adarank.scoring.signals.spectra import leading_squared_singular_values
from adarank.scoring.table import spectrum_table


def gradient_spectrum(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective = OWN,
    *,
    components: int = 64,
    memory_gb: float | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Score every rank of every module by what it gains in loss at first order.

    Let G be the gradient of the mean loss by W. A change D of rank r lowers the loss by -<G, D> to
    first order; over all D of rank r and of a fixed norm e the most is
    e * sqrt(s_1^2 + ... + s_r^2), s_i the singular values of G in descending order (Eckart & Young
    1936). So rank r adds s_r^2 to the squared gain, and over several modules, whose changes share
    one norm, the squares add up: taking the largest s^2 first is the best there is at equal
    prices. Needs labels. A signal of this project's own.

    Args:
        model: A transformers model with its head; see `mean_gradients`.
        batches: Labelled train rows.
        modules: What to score.
        objective: The loss; the model's own unless given.
        components: Most singular values kept per module.
        memory_gb: Bound in GiB on the gradients held at once; modules that do not fit together
            take turns, a forward and backward of all batches each. None: half of what is free.
        advance: Called after each batch of the first turn, then after each module's decomposition.

    Returns:
        A row per module and component, `score` being s_(component + 1)^2; of a module with many
        more rows and columns than components by a randomised decomposition, see
        `leading_squared_singular_values`.

    Raises:
        InputError: Nothing labelled.
        RunError: A loss or a gradient is not finite.
    """
    turns = gradient_turns(model, modules, memory_gb)
    gradients = mean_gradients(model, batches, turns, objective, advance=advance)
    spectra: list[np.ndarray] = []
    for gradient in gradients:
        spectra.append(leading_squared_singular_values(gradient, components))
        advance()
    return Scores(spectrum_table(modules, spectra), "backward", len(turns) * len(batches))
