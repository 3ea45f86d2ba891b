"""The modules' weights, whatever the model around them."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from adarank.errors import RunError, run_error
from adarank.models.modules import Module, resolve


def weights_of(model: nn.Module, modules: Sequence[Module]) -> list[nn.Parameter]:
    """List the modules' weights in a model with or without a head."""
    layers: list[Any] = [model.get_submodule(resolve(model, m.name)) for m in modules]
    return [layer.weight for layer in layers]


def layers_of(model: nn.Module, module: Module) -> list[nn.Module]:
    """List the distinct layers that hold a module's weight: one, unless it is shared."""
    names = (module.name, *module.aliases)
    # A layer registered under two names is still one.
    found = {id(layer): layer for n in names for layer in [model.get_submodule(resolve(model, n))]}
    return list(found.values())


def not_finite(what: str, module: Module) -> RunError:
    """Make the error for a value of a module that is NaN or infinite."""
    return run_error(
        f"{what} is not finite",
        where=module.name,
        expected="finite values throughout",
        remedy="check the model's weights, in float32; after a warm-up, a lower rate for it",
    )
