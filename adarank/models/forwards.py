"""Layers that run another forward than their own for a while, or it for one token a text."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Forward = Callable[..., Any]


@contextmanager
def replaced(forwards: Mapping[nn.Module, Forward]) -> Iterator[None]:
    """Run other forwards in place of some layers' own while the body runs.

    Args:
        forwards: By layer, what is called with the arguments of its forward.
    """
    with ExitStack() as stack:
        for layer, forward in forwards.items():
            before = layer.__dict__.get("forward")
            layer.__dict__["forward"] = forward
            stack.callback(_restore, layer, before)
        yield


def _restore(layer: nn.Module, before: Forward | None) -> None:
    if before is None:
        del layer.__dict__["forward"]
    else:
        layer.__dict__["forward"] = before


def on_rows(inner: Forward, rows: Tensor, length: int) -> Forward:
    """Make a forward that computes one token of each text, and leaves zeros at the others.

    Args:
        inner: The forward of a layer that works token by token.
        rows: Which token of each text, shape (texts,).
        length: Tokens of the padded texts; inputs of another shape are computed whole.
    """

    def forward(inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if inputs.dim() != 3 or inputs.shape[:2] != (len(rows), length):
            return inner(inputs, *args, **kwargs)
        texts = torch.arange(len(rows), device=inputs.device)
        computed = inner(inputs[texts, rows].unsqueeze(1), *args, **kwargs).squeeze(1)
        result = computed.new_zeros(len(rows), length, computed.shape[-1])
        result[texts, rows] = computed
        return result

    return forward
