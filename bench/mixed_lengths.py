"""Linearized against exact where texts differ in length and every token counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from adarank.models.modules import Module
from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.estimators.linearized import Linearized, linearized
from adarank.scoring.noise import Noise
from adarank.scoring.outputs import Batch
from adarank.scoring.text_inputs import vocabulary_size
from bench.agreement import module_means

_SMALL = 0.01  # of a weight's standard deviation: where the linear term is all there is


@dataclass(frozen=True)
class Ratios:
    """Linearized over exact, by module, on `last_hidden`.

    Attributes:
        lowest: The smallest ratio of a module's two scores.
        highest: The largest; a plan is the same where highest / lowest is 1.
    """

    lowest: float
    highest: float


def mixed_ratios(
    model: nn.Module,
    modules: Sequence[Module],
    *,
    trials: int = 10,
    sketches: int = 20,
    lengths: Sequence[int] = (3, 120),
) -> Ratios:
    """Compare the estimators on a batch of short texts and one of long ones, at small noise.

    Args:
        model: A text model in evaluation mode with room for the longest.
        modules: What is compared.
        trials: Of exact, all pairs.
        sketches: Of linearized.
        lengths: Tokens of the texts of each batch, four texts a batch.
    """
    batches, noise = _batches(model, lengths), Noise(scale=_SMALL)
    one = Exact(trials=trials, noise=noise, output="last_hidden")
    other = Linearized(sketches=sketches, noise=noise, output="last_hidden")
    wanted = module_means(exact(model, batches, modules, one).table)
    found = module_means(linearized(model, batches, modules, other))
    ratios = found / wanted
    return Ratios(float(np.min(ratios)), float(np.max(ratios)))


def _batches(model: nn.Module, lengths: Sequence[int]) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    config: Any = model.config
    room = getattr(config, "max_position_embeddings", None) or max(lengths)
    device = next(model.parameters()).device
    size = vocabulary_size(model) or 100
    batches: list[Batch] = []
    for length in lengths:
        tokens = torch.randint(1, size, (4, min(length, room)), generator=generator).to(device)
        batches.append({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)})
    return batches
