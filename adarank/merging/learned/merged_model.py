"""A frozen base with learned additions: differentiable in the coefficients, and in nothing else.

Where a weight's components are few, they act on the layer's output, y += ((x right^T) c) left^T,
and nothing of the weight's size is formed. Where they are many, the merged weight is formed once a
step, for all tasks together, and put in by torch.func.functional_call.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call  # pyright: ignore[reportPrivateImportUsage]
from transformers.pytorch_utils import Conv1D

from adarank.factors.svd import Update
from adarank.merging.learned.components import Components, Plain


class MergedModel:
    """One body shared by all tasks, with the additions of the current coefficients.

    Args:
        body: The base model; its own parameters are never changed.
        parts: By weight name in the body.
    """

    def __init__(self, body: nn.Module, parts: Mapping[str, Components | Plain]) -> None:
        self._weights = dict(body.named_parameters())
        self._parts = parts
        self._hooked = {
            name: body.get_submodule(name.removesuffix(".weight"))
            for name, part in parts.items()
            if _acts_on_output(body, name, part)
        }
        self._origins = {name: self._with_origin(name) for name in parts}
        self._coefficients: Mapping[str, Tensor] = {}
        self._replaced: dict[str, Tensor] = {}

    @contextmanager
    def with_coefficients(self, coefficients: Mapping[str, Tensor]) -> Iterator[None]:
        """Use these coefficients for every call inside."""
        self._coefficients = coefficients
        self._replaced = {
            name: self._formed(name, part)
            for name, part in self._parts.items()
            if name not in self._hooked
        } | {name: self._origins[name] for name in self._hooked}
        hooks = [
            module.register_forward_hook(self._adding(name))
            for name, module in self._hooked.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def logits(self, headed: nn.Module, prefix: str, batch: Mapping[str, Tensor]) -> Tensor:
        """Run one task's model, which holds the body under `prefix`, on a batch."""
        before = f"{prefix}." if prefix else ""
        replaced = {f"{before}{name}": tensor for name, tensor in self._replaced.items()}
        return functional_call(headed, replaced, kwargs=dict(batch)).logits

    def _with_origin(self, name: str) -> Tensor:
        origin, weight = self._parts[name].origin, self._weights[name].detach()
        if origin is None:
            return weight
        dense = origin.b @ origin.a if isinstance(origin, Update) else origin
        return weight + dense.to(weight)

    def _formed(self, name: str, part: Components | Plain) -> Tensor:
        c, weight = self._coefficients[name], self._origins[name]
        if isinstance(part, Plain):
            return weight + torch.tensordot(c, part.vectors, 1)
        return torch.addmm(weight, part.left * c, part.right)

    def _adding(self, name: str) -> Any:
        part, c = self._parts[name], self._coefficients[name]
        assert isinstance(part, Components)

        def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = inputs[0]
            if isinstance(module, Conv1D):  # whose weight is (d_in, d_out)
                return output + ((x @ part.left) * c) @ part.right
            return output + ((x @ part.right.T) * c) @ part.left.T

        return add


@contextmanager
def evaluating(models: Iterable[nn.Module]) -> Iterator[None]:
    """Put models in eval mode, and every part of them back in its own mode afterwards."""
    modes = {module: module.training for model in models for module in model.modules()}
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _acts_on_output(body: nn.Module, name: str, part: Components | Plain) -> bool:
    if isinstance(part, Plain) or not name.endswith(".weight"):
        return False
    module = body.get_submodule(name.removesuffix(".weight"))
    rows, columns = part.left.shape[0], part.right.shape[1]
    few = part.left.shape[1] * (rows + columns) <= rows * columns
    return few and isinstance(module, nn.Linear | Conv1D)
