"""A short training of a new head on frozen features: before it, label gradients are noise."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from adarank.errors import RunError, run_error
from adarank.models.stacks import base_model
from adarank.scoring.signals.gradients import only_gradients_of
from adarank.scoring.signals.objective import Batch, Objective, count_terms

LossOf = Callable[[int], Tensor]  # the loss of a batch, by the batch's index


@dataclass(frozen=True)
class WarmUp:
    """How long a head is warmed up.

    Attributes:
        steps: Optimiser steps, a batch each.
        learning_rate: AdamW's, constant; no weight decay.
        seed: Decides the order of the batches, epoch after epoch.
    """

    steps: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class WarmedUp:
    """What a warm-up did.

    Attributes:
        steps: Optimiser steps taken.
        loss_before: Mean loss over all terms of all batches, before the first step.
        loss_after: The same after the last.
    """

    steps: int
    loss_before: float
    loss_after: float


def warm_up(
    model: nn.Module,
    head: Sequence[str],
    batches: Sequence[Batch],
    objective: Objective,
    settings: WarmUp,
    *,
    advance: Callable[[], None] = lambda: None,
) -> WarmedUp | None:
    """Train a head in place; everything else stays frozen, and nothing is dropped out.

    Where the head is all outside the base model, the base runs once per batch and its outputs
    are kept: further steps cost the head alone.

    Args:
        model: A transformers model with its head; set to evaluation mode.
        head: Full dotted names of the modules to train.
        batches: Labelled train rows.
        objective: The loss.
        settings: How long, how fast, in which order.
        advance: Called after each step.

    Returns:
        The losses; None where there is no head or no step.

    Raises:
        InputError: Nothing labelled.
        RunError: The loss is not finite.
    """
    if not head or settings.steps == 0:
        return None
    model.eval()
    parameters = [p for name in head for p in model.get_submodule(name).parameters()]
    counts = count_terms(model, batches, objective)
    with (
        only_gradients_of(model, parameters),
        _on_kept_features(model, head, batches, objective) as loss_of,
    ):
        before = _mean_loss(loss_of, counts)
        _train(parameters, loss_of, counts, settings, advance)
        after = _mean_loss(loss_of, counts)
    if not math.isfinite(before + after):
        raise _diverged(settings, f"{before} before, {after} after")
    return WarmedUp(settings.steps, before, after)


def _train(
    parameters: list[nn.Parameter],
    loss_of: LossOf,
    counts: Sequence[int],
    settings: WarmUp,
    advance: Callable[[], None],
) -> None:
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
    order = _order([index for index, count in enumerate(counts) if count], settings.seed)
    for step in range(1, settings.steps + 1):
        loss = loss_of(next(order))
        if not math.isfinite(loss.item()):
            raise _diverged(settings, f"{loss.item()} at step {step}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        advance()


def _order(indices: list[int], seed: int) -> Iterator[int]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        for place in torch.randperm(len(indices), generator=generator).tolist():
            yield indices[place]


@torch.no_grad()
def _mean_loss(loss_of: LossOf, counts: Sequence[int]) -> float:
    # A batch without a term has no loss (0 / 0).
    weighed = [loss_of(index).item() * count for index, count in enumerate(counts) if count]
    return math.fsum(weighed) / sum(counts)


@contextmanager
def _on_kept_features(
    model: nn.Module, head: Sequence[str], batches: Sequence[Batch], objective: Objective
) -> Iterator[LossOf]:
    """Yield the loss of a batch by its index; the frozen base runs once per batch."""
    current, kept = 0, dict[int, Any]()
    prefix, base = base_model(model)
    forward, own = base.forward, vars(base).get("forward")

    def recall(*args: Any, **kwargs: Any) -> Any:
        if current not in kept:
            with torch.no_grad():
                kept[current] = forward(*args, **kwargs)
        return kept[current]

    def loss_of(index: int) -> Tensor:
        nonlocal current
        current = index
        return objective.loss(model, batches[index])

    if not prefix or any(name.startswith(f"{prefix}.") for name in head):
        yield loss_of  # The head is not all behind the base, so the base must run.
        return
    base.forward = recall
    try:
        yield loss_of
    finally:
        del base.forward
        if own is not None:
            base.forward = own


def _diverged(settings: WarmUp, got: str) -> RunError:
    return run_error(
        "the warm-up's loss is not finite",
        where="warm-up of the head",
        got=got,
        expected="a finite loss at every step",
        remedy=f"a learning rate below {settings.learning_rate:g}; or check the weights",
    )
