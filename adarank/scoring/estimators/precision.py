"""What half precision costs: scores in bfloat16 against float32, on a few modules."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from adarank.models.modules import Module
from adarank.scoring.engines.proof import one_of_each_kind
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.outputs import Batch
from adarank.scoring.score import Settings, score_modules


def to_bfloat16(
    model: nn.Module, batches: Sequence[Batch], modules: Sequence[Module], settings: Settings
) -> float:
    """Turn a float32 model to bfloat16 in place; return how far its scores move by that.

    Returns:
        Largest relative difference of a score, over one module of each kind and equal draws
        (one trial each).
    """
    if isinstance(settings, Exact):
        settings = replace(settings, trials=1)
    picked = one_of_each_kind(modules)
    full = score_modules(model, batches, picked, settings).table["score"].to_numpy()
    model.to(torch.bfloat16)
    half = score_modules(model, batches, picked, settings).table["score"].to_numpy()
    return float(np.max(np.abs(half - full) / full))
