"""As published: the released notebook's procedure, its piled-up noise included.

Only to understand the ranks that were published with it; its scores are not the paper's. In that
notebook the reference module and the disturbed one are the same object, so its reset does
nothing: noise adds up over a module's trials and over all modules scored before, and a late
module's score measures all of them (google-research, adaptive_low_rank).
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from adarank.models.modules import Module, resolve
from adarank.scoring.engines.memory import memory_bound
from adarank.scoring.kept import Kept, NothingKept, kept_or_made
from adarank.scoring.noise import Noise, draw, non_finite
from adarank.scoring.outputs import Batch, Output, compared_output
from adarank.scoring.table import score_table


@dataclass(frozen=True)
class AsPublished:
    """What the published procedure does.

    Attributes:
        trials: Disturbances per module, each on top of the last.
        noise: Its scale; relative to the module's current entries, earlier noise included.
        output: The compared output; the notebook's is `pooled`.
        seed: With the module's name and the trial, decides every draw.
        memory_gb: Bound in GiB on the weights held to be restored; those beyond it wait in a
            temporary folder. None: half of what is free.
    """

    trials: int = 5
    noise: Noise = field(default_factory=Noise)
    output: Output = "pooled"
    seed: int = 0
    memory_gb: float | None = None


@torch.no_grad()
def as_published(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    settings: AsPublished,
    *,
    advance: Callable[[], None] = lambda: None,
    kept: Kept | None = None,
) -> pd.DataFrame:
    """Score modules as the published notebook does, in the order given, noise never taken away.

    The score of (module, trial) is the mean absolute difference between the model with all noise
    so far and the pretrained model. The weights are restored at the end.

    Raises:
        RunError: An output is not finite.
    """
    model.eval()
    layers = [model.get_submodule(resolve(model, module.name)) for module in modules]
    scores = np.zeros((len(modules), settings.trials))
    bound = memory_bound(next(model.parameters()).device, settings.memory_gb)
    with _restored_at_the_end(layers, bound):
        pristine = [compared_output(model, batch, settings.output).float() for batch in batches]
        for row, (module, layer) in enumerate(zip(modules, layers, strict=True)):
            for trial in range(settings.trials):
                _pile_up(layer, settings, module.name, trial)
                one = partial(_moved, model, batches, pristine, settings.output)
                name = f"score of {module.name}, trial {trial}"
                scores[row, trial] = kept_or_made(kept or NothingKept(), name, one).item()
                if not np.isfinite(scores[row, trial]):
                    raise non_finite(module.name, settings.noise)
                advance()
    return score_table(modules, scores)


def _moved(
    model: nn.Module, batches: Sequence[Batch], pristine: Sequence[Tensor], output: Output
) -> np.ndarray:
    moved = [compared_output(model, batch, output) for batch in batches]
    differences = [(m.float() - p).abs() for m, p in zip(moved, pristine, strict=True)]
    return np.array(torch.cat([d.flatten() for d in differences]).mean().item())


def _pile_up(layer: nn.Module, settings: AsPublished, name: str, trial: int) -> None:
    noise = draw(layer, settings.noise, seed=settings.seed, name=name, index=trial)
    layer.get_parameter("weight").add_(noise.weight)
    if noise.bias is not None:
        layer.get_parameter("bias").add_(noise.bias)


@contextmanager
def _restored_at_the_end(layers: Sequence[nn.Module], bound: float) -> Iterator[None]:
    """Restore the layers' weights after the body, from copies of at most `bound` bytes or files."""
    parameters = [p for layer in layers for p in layer.parameters()]
    kept: dict[int, Tensor] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{index}.safetensors" for index in range(len(parameters))]
        for index, parameter in enumerate(parameters):
            if sum(one.nbytes for one in kept.values()) + parameter.nbytes <= bound:
                kept[index] = parameter.detach().clone()
            else:
                save_file({"values": parameter.detach().contiguous()}, files[index])
        try:
            yield
        finally:
            for index, parameter in enumerate(parameters):
                before = kept[index] if index in kept else load_file(files[index])["values"]
                parameter.data.copy_(before)
