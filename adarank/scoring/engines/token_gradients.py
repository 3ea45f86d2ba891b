"""Norms of weight gradients from tokens, without the weight gradients.

A linear layer's weight gradient is G = sum_s g_s x_s^T, x_s its inputs and g_s the gradients of
its outputs at the tokens s. Its squared norm is sum_(s, t) (g_s . g_t) (x_s . x_t): two Gram
matrices of tokens by tokens, cheaper than G where a text has fewer tokens than a layer has inputs
(Goodfellow 2015, arXiv 1510.01799; over tokens, Li et al. 2022, arXiv 2110.05679).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from adarank.models.forwards import replaced

Parts = Sequence[tuple[Tensor, Tensor]]
"""The applications of a weight in one forward: each its inputs and its outputs' gradients."""


@contextmanager
def token_gradients(
    layers: Mapping[int, Sequence[nn.Module]], take: Callable[[int, Parts], None]
) -> Iterator[None]:
    """Have backwards in the body hand out what makes up weight gradients, and not compute those.

    The weights must require gradients. They get the part that stems from uses outside of these
    layers' forwards, and None where there is none.

    Args:
        layers: By a key of the caller's, the linear layers that hold one weight, which compute
            x W^T + b (Conv1D: x W + b) and nothing else. They get back their own forwards.
        take: Called with a key and its parts when the last of the weight's applications has had
            its backward; at the end for those of which some never do. Nothing is held after.
    """
    collected = {key: _Collected() for key in layers}
    forwards = {
        layer: _forward(layer, key, collected[key], take)
        for key, members in layers.items()
        for layer in members
    }
    with replaced(forwards):
        yield
    for key, one in collected.items():
        if one.parts:
            take(key, one.parts)


def replaceable(layer: nn.Module) -> bool:
    """Whether a layer is known to compute x W^T + b (Conv1D: x W + b) and nothing else."""
    return type(layer) in (nn.Linear, Conv1D) and "forward" not in layer.__dict__


@torch.no_grad()
def squared_norms(inputs: Tensor, gradients: Tensor) -> Tensor:
    """Compute the squared norm of each row's weight gradient, the cheaper way.

    Args:
        inputs: x, shape (rows, tokens, d_in).
        gradients: g, shape (rows, tokens, d_out).

    Returns:
        Shape (rows,), float64, on the CPU or not as the inputs are.
    """
    # Padding, and tokens that the output does not see, have no part in it.
    reached = gradients.ne(0).any(dim=0).any(dim=-1)
    if not bool(reached.all()):
        inputs, gradients = inputs[:, reached], gradients[:, reached]
    enough = torch.promote_types(inputs.dtype, torch.float32)
    inputs, gradients = inputs.to(enough), gradients.to(enough)
    (_, tokens, d_in), d_out = inputs.shape, gradients.shape[-1]
    if tokens * (d_in + d_out) <= d_in * d_out:
        products = (inputs @ inputs.mT).mul_(gradients @ gradients.mT)
        return products.sum(dim=(1, 2), dtype=torch.float64).clamp(min=0)
    # So many tokens that the gradients themselves are the lesser work; one at a time in memory.
    whole = (g.mT @ x for x, g in zip(inputs, gradients, strict=True))
    return torch.stack([gradient.square().sum(dtype=torch.float64) for gradient in whole])


@dataclass
class _Collected:
    """Applications of one weight: how many have had no backward yet, and those that have."""

    open: int = 0
    parts: list[tuple[Tensor, Tensor]] = field(default_factory=list[tuple[Tensor, Tensor]])


def _forward(
    layer: nn.Module,
    key: int,
    collected: _Collected,
    take: Callable[[int, Parts], None],
) -> Callable[[Tensor], Tensor]:
    whole: Any = _Apply
    own: Callable[[Tensor], Tensor] = layer.forward

    def done(inputs: Tensor, gradient: Tensor) -> None:
        collected.parts.append((inputs, gradient))
        collected.open -= 1
        if not collected.open:
            parts, collected.parts = collected.parts, []
            take(key, parts)

    def forward(inputs: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return own(inputs)
        collected.open += 1
        weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
        weight = weight.mT if isinstance(layer, Conv1D) else weight
        return whole.apply(inputs, weight, bias, own, done)

    return forward


class _Apply(torch.autograd.Function):
    """A linear layer's own forward, with a backward that leaves out the weight's gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,  # noqa: ARG004
        own: Callable[[Tensor], Tensor],
        done: Callable[[Tensor, Tensor], None],
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.done = done
        return own(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        inputs, weight = ctx.saved_tensors
        (gradient,) = gradients
        ctx.done(inputs, gradient)
        to_inputs = gradient @ weight if ctx.needs_input_grad[0] else None
        to_bias = gradient.flatten(0, -2).sum(dim=0) if ctx.needs_input_grad[2] else None
        return to_inputs, None, to_bias, None, None
