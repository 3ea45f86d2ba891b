"""Every run's trained weights as one line of a matrix, padded to a common layout."""

from collections.abc import Callable, Mapping
from math import prod

import torch
from torch import Tensor, nn


class Layout:
    """Where each trained tensor stands in a run's line.

    The weights of K runs are a matrix of shape (K, size), and so are their gradients and Adam's
    moments: what is done per run (a norm, a learning rate) is done per line. Each tensor has the
    shape that it has in the carrier, the largest of any run's; a smaller one fills the leading
    corner, and the rest is 0. Zero rows of A and zero columns of B have zero gradients, each being
    proportional to the other, so padding stays 0 without a mask.

    Args:
        carrier: A model with every trained tensor of any run, by the same names.
    """

    def __init__(self, carrier: nn.Module):
        self.shapes = {n: p.shape for n, p in carrier.named_parameters() if p.requires_grad}
        self.size = sum(map(prod, self.shapes.values()))

    def split(self, lines: Tensor) -> dict[str, Tensor]:
        """View lines, shape (k, size), as tensors of shape (k, *shape) by name."""
        sizes = list(map(prod, self.shapes.values()))
        parts = zip(self.shapes.items(), lines.split(sizes, dim=1), strict=True)
        return {name: part.unflatten(1, shape) for (name, shape), part in parts}

    def join(self, tensors: Mapping[str, Tensor | None], count: int) -> Tensor:
        """Make lines of tensors of shape (count, *shape); None stands for zeros."""
        some = next(tensor for tensor in tensors.values() if tensor is not None)
        parts = [(tensors[name], prod(shape)) for name, shape in self.shapes.items()]
        zeros = some.new_zeros
        return torch.cat([zeros(count, n) if t is None else t.flatten(1) for t, n in parts], dim=1)

    @torch.no_grad()
    def read(self, model: nn.Module) -> Tensor:
        """Read a run's line, shape (size,), from its model."""
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        line = next(iter(trained.values())).new_zeros(1, self.size)
        for name, whole in self.split(line).items():
            if name in trained:
                whole[0][_corner(trained[name])] = trained[name]
        return line[0]

    @torch.no_grad()
    def write(self, line: Tensor, model: nn.Module) -> None:
        """Write a run's line into its model."""
        parts = self.split(line[None])
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(parts[name][0][_corner(parameter)])

    def line_of(self, value: Callable[[str], float]) -> Tensor:
        """Repeat a value of each tensor's name over its entries, shape (size,)."""
        return torch.cat([torch.full((prod(s),), value(n)) for n, s in self.shapes.items()])


def _corner(tensor: Tensor) -> tuple[slice, ...]:
    return tuple(slice(size) for size in tensor.shape)
