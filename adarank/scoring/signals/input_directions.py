"""The inputs' leading directions: where a module's adapter begins along what it is given."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from adarank.models.modules import Module
from adarank.scoring.directions import directions_table
from adarank.scoring.scores import Scores
from adarank.scoring.signals.input_moments import Follow, reduced_moments
from adarank.scoring.signals.moments import Moments
from adarank.scoring.signals.objective import OWN, Batch, Objective

_SPARE = 8  # directions beyond those wanted, which make the wanted ones converge


def input_directions(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective = OWN,
    *,
    components: int = 64,
    memory_gb: float | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Find the principal directions of each module's inputs over all real tokens.

    The leading eigenvectors of the inputs' covariance C, means taken off as in EVA (Paischer et
    al. 2024, arXiv 2410.07170), each with the part of the variance that it explains as its score.
    The start `inputs` begins A along them. Uses no label, except that an encoder-decoder needs
    the words that its decoder is given.

    Inputs with more than components + 8 features are followed in so many directions, by three
    passes over the batches; see `reduced_moments`.

    Args:
        model: A transformers model, with or without a head; set to evaluation mode.
        batches: Train rows; `attention_mask` marks padding, which is left out.
        modules: Whose inputs are looked at.
        objective: Its loss is what runs the model.
        components: Most directions kept per module: the highest rank that can begin along them.
        memory_gb: Bound in GiB on the moments held at once; modules that do not fit together take
            turns. None: half of what is free. The directions are the same.
        advance: Called after each batch of the first pass, then for each module.

    Returns:
        A row per module and component, with its direction; see `directions_of`. The directions of
        a module whose inputs never vary are any, and their scores 0.

    Raises:
        RunError: An input is not finite.
    """
    width = components + _SPARE
    found, forwards = reduced_moments(
        model,
        batches,
        modules,
        objective,
        Moments.directions,
        Follow(width, all_up_to=width),
        memory_gb=memory_gb,
        advance=advance,
    )
    kept = [min(components, module.d_in, module.d_out) for module in modules]
    pairs = [one or _any(n, module) for one, n, module in zip(found, kept, modules, strict=True)]
    spectra = [parts[:n] for (parts, _), n in zip(pairs, kept, strict=True)]
    directions = [vectors[:n] for (_, vectors), n in zip(pairs, kept, strict=True)]
    return Scores(directions_table(modules, spectra, directions), "forward", forwards)


def _any(count: int, module: Module) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(count), np.eye(count, module.d_in)
