"""Adapted layers of another rank: factors put in place of others, with their optimizer moments."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from adarank.allocation.scale import Scale
from adarank.factors.svd import Update
from adarank.tuning.loop.stepping import Resize, Stepping
from adarank.tuning.lora import ADAPTER


def update_of(layer: Any) -> Update:
    """Return a layer's adapter as an update s B A; its factors are the layer's own."""
    a, b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    return Update(a.detach(), b.detach(), float(layer.scaling[ADAPTER]))


def put(
    layer: Any,
    a: Tensor,
    b: Tensor,
    scale: Scale,
    stepping: Stepping | None = None,
    moments: tuple[Resize, Resize] | None = None,
) -> None:
    """Put factors of any rank into an adapted layer, and train them in place of the old ones.

    Args:
        layer: PEFT's layer.
        a: Shape (rank, d_in).
        b: Shape (d_out, rank), for the scale that this rank has.
        scale: Decides alpha and scale by the rank.
        stepping: What trains the old factors; None where nothing does yet.
        moments: Make A's and B's moments; None for none.
    """
    rank = len(a)
    layer.r[ADAPTER], layer.lora_alpha[ADAPTER] = rank, scale.alpha(rank)
    layer.scaling[ADAPTER] = scale.factor(rank)
    sides = ((layer.lora_A[ADAPTER], a), (layer.lora_B[ADAPTER], b))
    for (side, values), resize in zip(sides, moments or (None, None), strict=True):
        old = side.weight
        side.weight = nn.Parameter(values.to(old).contiguous(), requires_grad=old.requires_grad)
        side.out_features, side.in_features = side.weight.shape
        if stepping is not None:
            stepping.replace(old, side.weight, resize)


def extend(layer: Any, rows: Tensor, scale: Scale, stepping: Stepping | None = None) -> None:
    """Append rows to A and zero columns to B: the layer computes what it did before.

    Where the scale depends on the rank, B makes up for it, and Adam's moments of B, whose
    gradient is proportional to the scale, with it.

    New entries begin with a first moment of 0. Their second moment is the mean of the old ones
    along the rank: from 0, at a late step count where Adam no longer corrects its bias, the first
    updates would be up to 6.5 times the learning rate ((1 - .9^t) / sqrt(1 - .999^t), t = 11).

    Args:
        layer: PEFT's layer.
        rows: New rows of A, shape (count, d_in).
        scale: Decides alpha and scale by the rank.
        stepping: What trains the layer; None where nothing does yet.
    """
    old, count = update_of(layer), len(rows)
    ratio = scale.factor(old.rank + count) / old.scale
    a = torch.cat([old.a, rows.to(old.a)])
    b = torch.cat([old.b / ratio, old.b.new_zeros(old.b.shape[0], count)], dim=1)

    def padded(dim: int, factor: float) -> Resize:
        def resize(name: str, moment: Tensor) -> Tensor:
            squared = name != "exp_avg"
            grown = moment * (factor**2 if squared else factor)
            mean = grown.mean(dim, keepdim=True) if squared else 0 * grown.mean(dim, keepdim=True)
            new = mean.expand(*((count, -1) if dim == 0 else (-1, count)))
            return torch.cat([grown, new], dim)

        return resize

    put(layer, a, b, scale, stepping, (padded(0, 1.0), padded(1, ratio)))


def drop(layer: Any, stepping: Stepping | None = None) -> None:
    """Remove the adapter from a layer: rank 0."""
    for sides in (layer.lora_A, layer.lora_B):
        if stepping is not None:
            stepping.remove(sides[ADAPTER].weight)
        del sides[ADAPTER]


@torch.no_grad()
def add_to_base(layer: Any, update: Update) -> None:
    """Add an update to the layer's base weight."""
    weight = layer.get_base_layer().weight
    dense = update.scale * (update.b @ update.a)
    weight.add_(dense.T if layer.fan_in_fan_out else dense)


def kaiming_rows(count: int, d_in: int, draws: torch.Generator) -> Tensor:
    """Draw rows as LoRA's A begins: uniform within 1 / sqrt(d_in), shape (count, d_in)."""
    rows = torch.empty(count, d_in)
    return nn.init.kaiming_uniform_(rows, a=math.sqrt(5), generator=draws)


def gradient_rows(gradient: Tensor, a: Tensor | None) -> tuple[Tensor, Tensor]:
    """Find the directions that the gradient takes outside A's rows.

    With zero columns in B, the first step is then the best approximation of its rank to what the
    gradient would do there beyond A (Eckart and Young 1936).

    Args:
        gradient: By the whole weight, shape (d_out, d_in).
        a: Shape (rank, d_in); None for no rows yet.

    Returns:
        Rows of the norm that Kaiming's have on average, 1 / sqrt(3), best first; and what each
        gains: the squared singular value.
    """
    left = gradient.double()
    if a is not None:
        q = torch.linalg.qr(a.double().T)[0]
        left = left - (left @ q) @ q.T
    _, sigma, vh = torch.linalg.svd(left, full_matrices=False)
    return vh / math.sqrt(3), sigma.square()
