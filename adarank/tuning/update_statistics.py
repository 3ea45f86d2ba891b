"""What the loss sees of each low-rank update, and where its weight's gradient points."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from adarank.factors.loss_metric import decompose_by_loss, regularised
from adarank.factors.svd import Components, Update, effective_rank
from adarank.tasks.base import Batch, Example, Task
from adarank.tuning.lora import ADAPTER

EFFECTIVE_RANK = "effective_rank"
"""The curve's column of `mean_effective_rank`."""

_SHARE = 0.01
"""How much of white inputs and gradients is added to the measured ones."""


def mean_effective_rank(updates: Iterable[Update], modules: int) -> float:
    """Average the updates' effective ranks over so many modules; those without one count as 0."""
    return sum(map(effective_rank, updates)) / modules


@dataclass
class Seen:
    """Sums over all texts and tokens, for one module; x its inputs, g = dloss/dy, h = B^T g.

    Attributes:
        inputs: Sum of ||h||^2 (A x)(A x)^T, shape (rank, rank), float64: where the loss reads one
            token of many (a classifier's last block), the others count for nothing.
        gradients: Sum of h h^T, shape (rank, rank), float64.
    """

    inputs: Tensor
    gradients: Tensor


def components_seen(update: Update, seen: Seen, count: int) -> Components:
    """Split an update by what the loss sees of it; see `adarank.factors.loss_metric`.

    Args:
        update: The update whose A and B the sums were measured with.
        seen: The sums.
        count: How many losses were differentiated for them.
    """
    energy = seen.gradients.trace().clamp(min=1e-300)  # the weights in the sum of inputs
    inputs = regularised(seen.inputs / energy, update.a, _SHARE)
    gradients = regularised(seen.gradients / count, update.b.T, _SHARE)
    return decompose_by_loss(update, inputs, gradients)


def watch(layer: Any, hooks: ExitStack) -> Seen:
    """Begin the sums of one adapted layer; they grow with every backward until `hooks` closes."""
    a, b = layer.lora_A[ADAPTER], layer.lora_B[ADAPTER].weight.detach()
    size = (a.out_features, a.out_features)
    zeros = torch.zeros(size, dtype=torch.float64, device=b.device)
    seen = Seen(zeros, zeros.clone())
    latest: dict[str, Tensor] = {}

    def inner(_module: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> None:
        latest["z"] = output.detach().flatten(0, -2).double()

    def outer(_module: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> None:
        z = latest["z"]  # of this call: a shared block is called several times

        def gradient(given: Tensor) -> None:
            h = given.flatten(0, -2).double() @ b.double()
            seen.inputs += z.T @ (h.square().sum(1, keepdim=True) * z)
            seen.gradients += h.T @ h

        output.register_hook(gradient)

    hooks.callback(a.register_forward_hook(inner).remove)
    hooks.callback(layer.register_forward_hook(outer).remove)
    return seen


def measure_updates(
    model: nn.Module, task: Task, batches: Sequence[Batch], layers: Mapping[str, Any]
) -> dict[str, Seen]:
    """Measure what the mean loss of each batch sees of every adapted layer's update.

    Args:
        model: The adapted model; dropout is off meanwhile, trained weights' gradients are lost.
        task: Its loss is differentiated.
        batches: Labelled batches on the model's device.
        layers: Adapted layers by name.
    """
    with ExitStack() as hooks, _still(model):
        seen = {name: watch(layer, hooks) for name, layer in layers.items()}
        for batch in batches:
            task.loss(model, batch).backward()
    return seen


def weight_gradients(
    model: nn.Module, task: Task, batches: Sequence[Batch], layers: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Compute the mean gradient by each adapted layer's whole weight, adapter included.

    Returns:
        By layer name, shape (d_out, d_in). All of them are held at once: as much memory as the
        adapted weights.
    """
    weights = {name: layer.get_base_layer().weight for name, layer in layers.items()}
    with _still(model):
        for weight in weights.values():
            weight.requires_grad_(True)
        try:
            for batch in batches:
                (task.loss(model, batch) / len(batches)).backward()
            found = {name: _gradient(weight) for name, weight in weights.items()}
        finally:
            for weight in weights.values():
                weight.requires_grad_(False)
                weight.grad = None
    return {name: g.T if layers[name].fan_in_fan_out else g for name, g in found.items()}


def sample(
    task: Task,
    rows: Sequence[Example],
    count: int,
    batch_size: int,
    draws: torch.Generator,
    device: torch.device,
) -> list[Batch]:
    """Draw at most `count` rows and batch them, on the device."""
    chosen = [rows[index] for index in torch.randperm(len(rows), generator=draws)[:count].tolist()]
    groups = (chosen[first : first + batch_size] for first in range(0, len(chosen), batch_size))
    return [
        {name: value.to(device) for name, value in task.collate(group).items()} for group in groups
    ]


def _gradient(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


@contextmanager
def _still(model: nn.Module) -> Iterator[None]:
    """Switch dropout off, and leave neither mode nor gradients behind."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
        model.zero_grad(set_to_none=True)
