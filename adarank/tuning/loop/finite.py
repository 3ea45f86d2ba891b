"""Stopping at the first loss or gradient that is not finite, and naming where it began."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from adarank.errors import Problem, RunError
from adarank.tasks.base import counted


class DivergedError(RunError):
    """A training run whose loss or gradient is no longer finite."""


def check_finite(
    model: nn.Module, forward: Callable[[], object], loss: float, norm: float, step: int
) -> None:
    """Check a training step's loss and gradient norm, before clipping can spread a NaN.

    Args:
        model: The model, after the backward pass.
        forward: Runs the model once more on what the step was computed on.
        loss: The step's loss.
        norm: The norm of all its gradients together.
        step: The optimiser step, counted from 1.

    Raises:
        DivergedError: Either is NaN or infinite; names the step and the culprit: the first
            parameter with such a value, else the first module whose output is such, else the
            parameter whose gradient was the first, on the way back, to be so.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return
    raise DivergedError(
        Problem(
            "training has become non-finite",
            where=f"step {step}, {_culprit(model, forward)}",
            got=f"loss {loss}, gradient norm {norm}",
            expected="finite values",
            remedy="a lower learning rate, more warmup steps, or float32 in place of bf16",
        )
    )


def check_predictions(table: pd.DataFrame, step: int) -> None:
    """Check predictions of validation rows, before a metric that takes no NaN sees them.

    Args:
        table: A task's predictions.
        step: The optimiser step after which they were made.

    Raises:
        DivergedError: The loss of a row that counts is not finite.
    """
    loss = float(counted(table)["loss"].to_numpy(dtype="float64").sum())
    if not math.isfinite(loss):
        raise non_finite_prediction(step, loss)


def non_finite_prediction(step: int, loss: float) -> DivergedError:
    """Make the error for a validation loss that is not finite."""
    return DivergedError(
        Problem(
            "the validation loss is not finite",
            where=f"step {step}",
            got=loss,
            expected="a finite value",
            remedy="a lower learning rate, or more warmup steps",
        )
    )


def _culprit(model: nn.Module, forward: Callable[[], object]) -> str:
    for name, parameter in model.named_parameters():
        if not _finite(parameter):
            return f"value of parameter {name}"
    module = _first_bad_output(model, forward)
    if module is not None:
        return f"output of module {module}"
    return _first_bad_gradient(model)


def _first_bad_gradient(model: nn.Module) -> str:
    found = [(n, p.grad) for n, p in model.named_parameters() if p.grad is not None]
    # The backward pass runs from the output to the input, so the last bad one was the first.
    for name, gradient in reversed(found):
        if not _finite(gradient):
            return f"gradient of parameter {name}"
    # Finite entries whose sum of squares overflows.
    largest = max(found, key=lambda item: float(item[1].abs().max()))[0]
    return f"gradient of parameter {largest}"


def _first_bad_output(model: nn.Module, forward: Callable[[], object]) -> str | None:
    bad: list[str] = []

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if not all(_finite(tensor) for tensor in _tensors(output)):
                bad.append(name)

        return hook

    hooks = [part.register_forward_hook(watch(name)) for name, part in model.named_modules()]
    try:
        with torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return bad[0] if bad else None


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from _tensors(value)


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
