"""The noise that disturbs one module: seeded by name and draw, so any draw can be made alone."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from adarank.errors import AdaRankError, run_error

Relative = Literal["module", "global", "absolute"]


@dataclass(frozen=True)
class Noise:
    """How a module's weight and bias are disturbed.

    Entries are drawn from N(0, s^2). With `relative_to="module"`, s is `scale` times the
    standard deviation of the tensor's own entries, the bias by its own (Dong 2024,
    arXiv 2408.09015); with `"absolute"`, s is `scale` itself; with `"global"`, `scale` times the
    standard deviation of all scored weights together, which `score_modules` turns into absolute.

    Attributes:
        scale: In units of that standard deviation, or of the weights when absolute.
        relative_to: What the scale is relative to.
        bias: Whether the bias is disturbed too.
    """

    scale: float = 1.0
    relative_to: Relative = "module"
    bias: bool = True


@dataclass(frozen=True)
class Draw:
    """One disturbance of one module: noise of the weight's and the bias's shapes."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Deviations:
    """Standard deviations of the noise on one module's weight and bias, in their own units."""

    weight: float
    bias: float | None


def deviations(layer: nn.Module, noise: Noise) -> Deviations:
    """Compute a module's standard deviations, a pass over its weight; once for all its draws."""
    weight = deviation(_tensor(layer, "weight"), noise)
    if not noise.bias or getattr(layer, "bias", None) is None:
        return Deviations(weight, None)
    return Deviations(weight, deviation(_tensor(layer, "bias"), noise))


def draw(
    layer: nn.Module,
    noise: Noise,
    *,
    seed: int,
    name: str,
    index: int,
    sizes: Deviations | None = None,
) -> Draw:
    """Draw the noise number `index` of the module called `name`.

    The generator depends on (seed, name, index) alone and runs on the CPU in float32, so the
    same draw comes out whatever was drawn before, in whatever order, on whatever device.

    Args:
        layer: The linear layer; its `weight` and `bias` give shapes and standard deviations.
        noise: Scale of the noise.
        seed: The score stage's seed.
        name: The module's full dotted name.
        index: Number of the draw, from 0. Trial t of the paper's estimator uses 2t and 2t + 1.
        sizes: The layer's `deviations` for this noise, where they are known already.
    """
    sizes = sizes or deviations(layer, noise)
    generator = torch.Generator().manual_seed(draw_seed(seed, name, index))
    weight = _gaussian(_tensor(layer, "weight"), sizes.weight, generator)
    if sizes.bias is None:
        return Draw(weight, None)
    return Draw(weight, _gaussian(_tensor(layer, "bias"), sizes.bias, generator))


def draw_seed(seed: int, name: str, index: int) -> int:
    """Seed of one draw's generator: 63 bits of a hash, equal on every machine."""
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def deviation(tensor: Tensor, noise: Noise) -> float:
    """Standard deviation of the noise on one weight or bias, in the tensor's own units."""
    if noise.relative_to == "absolute":
        return noise.scale
    return noise.scale * tensor.detach().float().std(correction=0).item()


def global_deviation(layers: Sequence[nn.Module]) -> float:
    """Standard deviation of all entries of all the layers' weights together."""
    weights = [_tensor(layer, "weight").detach() for layer in layers]
    count = sum(weight.numel() for weight in weights)
    # One weight in float64 at a time.
    mean = sum(weight.double().sum().item() for weight in weights) / count
    squares = sum((weight.double() - mean).square().sum().item() for weight in weights)
    return math.sqrt(squares / count)


@contextmanager
def disturbed(layer: nn.Module, noise: Draw, name: str) -> Iterator[None]:
    """Add a draw to a layer while the body runs; afterwards its bits are as before, checked.

    Raises:
        RunError: The weight after the body differs from the weight before it.
    """
    weight = _tensor(layer, "weight")
    kept, kept_bias = weight.data, None if noise.bias is None else _tensor(layer, "bias").data
    before = kept.clone()
    try:
        weight.data = kept + noise.weight
        if noise.bias is not None and kept_bias is not None:
            _tensor(layer, "bias").data = kept_bias + noise.bias
        yield
    finally:
        weight.data = kept
        if kept_bias is not None:
            _tensor(layer, "bias").data = kept_bias
    if not torch.equal(weight.data, before):
        raise run_error("weight not restored after a disturbed forward", where=name)


def non_finite(name: str, noise: Noise) -> AdaRankError:
    """Make the error for an output that is not finite while `name` is disturbed."""
    return run_error(
        "the model's output is not finite while this module is disturbed",
        where=name,
        got=f"noise scale {noise.scale}",
        expected="finite outputs",
        remedy=f"a smaller noise scale, such as {noise.scale / 10:g}",
    )


def _gaussian(tensor: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    scaled = torch.randn(tensor.shape, generator=generator) * deviation
    return scaled.to(device=tensor.device, dtype=tensor.dtype)


def _tensor(layer: nn.Module, name: str) -> Tensor:
    tensor = getattr(layer, name)
    assert isinstance(tensor, Tensor)
    return tensor
