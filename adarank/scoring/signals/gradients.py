"""Mean gradients of a loss by the modules' weights, over batches of any size."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from adarank.errors import run_error
from adarank.models.modules import Module, resolve
from adarank.scoring.engines.memory import in_turns, memory_bound, release_freed
from adarank.scoring.signals.objective import Batch, Objective, count_terms
from adarank.scoring.signals.weights import not_finite, weights_of

_FLOAT32 = 4  # bytes


def mean_gradients(
    model: nn.Module,
    batches: Sequence[Batch],
    turns: Sequence[Sequence[Module]],
    objective: Objective,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Tensor]:
    """Compute the gradient of the mean loss over all terms of all batches, by each weight.

    Args:
        model: A transformers model; set to evaluation mode (no dropout), its weights and their
            own gradients left as they were.
        batches: What the loss is computed on.
        turns: Modules whose weights are differentiated; the gradients of one turn are held at
            once, and each turn is a forward and backward of all batches. See `gradient_turns`.
        objective: The loss, and how a batch weighs: by its number of terms, so that the result
            does not depend on how rows were divided into batches.
        advance: Called after each batch of the first turn.

    Yields:
        A float32 gradient per module, of its weight's shape; zeros where it does not reach the
        loss. The same however modules are divided into turns.

    Raises:
        InputError: Nothing labelled.
        RunError: A loss or a gradient is not finite.
    """
    model.eval()
    counts = count_terms(model, batches, objective)
    for number, modules in enumerate(turns):
        weights = weights_of(model, modules)
        with only_gradients_of(model, weights):
            for batch, count in zip(batches, counts, strict=True):
                if count:
                    loss = finite_loss(model, batch, modules, objective)
                    _backward(loss * (count / sum(counts)))
                if number == 0:
                    advance()
            gradients = [_gradient(weight) for weight in weights]
        for module, gradient in zip(modules, gradients, strict=True):
            check_gradient(module, bool(torch.isfinite(gradient).all()))
        while gradients:  # so that each is freed when its reader has done with it
            yield gradients.pop(0)
        release_freed()


def gradient_turns(
    model: nn.Module, modules: Sequence[Module], memory_gb: float | None
) -> list[list[Module]]:
    """Cut modules into turns whose gradients fit in memory together.

    Args:
        model: On its device.
        modules: In order.
        memory_gb: Bound in GiB on a turn's gradients, and as much again for those of a batch;
            None: half of what is free.
    """
    sizes = {
        module: 2 * _FLOAT32 * weight.numel()
        for module, weight in zip(modules, weights_of(model, modules), strict=True)
    }
    bound = memory_bound(next(model.parameters()).device, memory_gb)
    return in_turns(modules, lambda module: sizes[module], bound)


@contextmanager
def only_gradients_of(model: nn.Module, wanted: Sequence[nn.Parameter]) -> Iterator[None]:
    """Require gradients of these parameters alone, from none; restore what was there before."""
    identities = {id(parameter) for parameter in wanted}
    before = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    try:
        for parameter, *_ in before:
            parameter.requires_grad_(id(parameter) in identities)
            parameter.grad = None
        yield
    finally:
        for parameter, required, gradient in before:
            parameter.requires_grad_(required)
            parameter.grad = gradient


def finite_loss(
    model: nn.Module, batch: Batch, modules: Sequence[Module], objective: Objective
) -> Tensor:
    """Compute a batch's loss.

    Raises:
        RunError: It is not finite; names the first module whose output is not.
    """
    loss = objective.loss(model, batch)
    if math.isfinite(float(loss.detach())):
        return loss
    raise run_error(
        "the loss is not finite",
        where=_first_bad_output(model, batch, modules, objective) or "after the last module",
        got=float(loss.detach()),
        expected="a finite loss of the pretrained model",
        remedy="check the weights and the labels; after a warm-up, a lower learning rate for it",
    )


def check_gradient(module: Module, finite: bool) -> None:
    """Refuse a gradient that is not finite, naming its module."""
    if not finite:
        raise not_finite("the gradient", module)


def _backward(loss: Tensor) -> None:
    # Without a graph, no module reaches the loss: all gradients are zero.
    if loss.requires_grad:
        loss.backward()


def _gradient(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight).float() if weight.grad is None else weight.grad.float()


@torch.no_grad()
def _first_bad_output(
    model: nn.Module, batch: Batch, modules: Sequence[Module], objective: Objective
) -> str | None:
    bad: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_layer: nn.Module, _inputs: Any, output: Tensor) -> None:
            if not bool(torch.isfinite(output).all()):
                bad.append(name)

        return hook

    layers = [(m.name, model.get_submodule(resolve(model, m.name))) for m in modules]
    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers]
    try:
        objective.loss(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return bad[0] if bad else None
