"""Layers that run another forward than their own for a while."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

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
