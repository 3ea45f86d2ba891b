"""A hidden layer in a task's head, whatever the architecture's own head looks like."""

from typing import Any

import torch
from torch import nn

from adarank.errors import input_error
from adarank.models.stacks import base_model
from adarank.tasks.base import Headed


def with_hidden(headed: Headed, *, outputs: int, hidden: int, seed: int) -> Headed:
    """Put a GELU layer before the last layer of a head: W2 gelu(W1 h + b1) + b2.

    The last layer alone is replaced, so a head that has a layer of its own before it (RoBERTa's)
    keeps that. Dong 2024's code (arXiv 2408.09015) has such a layer, 768 wide.

    Args:
        headed: The model with its head; changed in place.
        outputs: How many outputs the head has.
        hidden: The new layer's width.
        seed: Decides the new weights, and nothing else does.

    Returns:
        The same model; the new layers belong to the part of the head that they are in.

    Raises:
        InputError: No linear layer with so many outputs outside the pretrained base.
    """
    model = headed.model
    name = _last_layer(model, outputs)
    old: Any = model.get_submodule(name)
    first = nn.Linear(old.in_features, hidden)
    last = nn.Linear(hidden, outputs, bias=old.bias is not None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _draw(model.config, first, last)
    layers = nn.Sequential(first, nn.GELU(), last)
    for hook in old._forward_pre_hooks.values():  # a float32 head's, on a base of another dtype
        layers.register_forward_pre_hook(hook)
    model.set_submodule(name, layers)
    return headed


def _last_layer(model: nn.Module, outputs: int) -> str:
    prefix = base_model(model)[0]
    found = [
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear)
        and part.out_features == outputs
        and not name.startswith(f"{prefix}.")
    ]
    if not found:
        raise input_error(
            "no last layer to put a hidden one before",
            where=f"task.hidden, head of {type(model).__name__}",
            expected=f"a linear layer with {outputs} outputs outside the pretrained model",
            remedy="task.hidden: null",
        )
    return found[-1]


def _draw(config: Any, *layers: nn.Linear) -> None:
    for layer in layers:
        for name, parameter in layer.named_parameters():
            if name == "weight":
                nn.init.normal_(parameter, std=_deviation(config))
            else:
                nn.init.zeros_(parameter)


def _deviation(config: Any) -> float:
    """The standard deviation that the model's own new weights are drawn with."""
    names = ("initializer_range", "init_std")
    return next((getattr(config, name) for name in names if hasattr(config, name)), 0.02)
