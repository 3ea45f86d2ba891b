"""Finding the biases and norms in a transformer's blocks."""

from collections.abc import Sequence

from torch import nn

from adarank.models.bias_norm import BiasNorm
from adarank.models.modules import Module
from adarank.models.stacks import base_model, find_stacks


def find_bias_norm(model: nn.Module, modules: Sequence[Module]) -> BiasNorm:
    """Find the biases of modules that can be adapted, and the norms in a model's blocks.

    A norm is a part without parts whose parameters are all vectors, one of them its `weight`.

    Args:
        model: Any transformers model, with or without a task's head.
        modules: As `find_modules` lists them.
    """
    base = base_model(model)[1]
    biases = {
        module.name: bias.numel()
        for module in modules
        if module.kind.removeprefix("cross_") != "key"
        and (bias := getattr(base.get_submodule(module.name), "bias", None)) is not None
    }
    norms: dict[str, int] = {}
    for block in (name for stack in find_stacks(base) for name in stack.blocks):
        for name, part in base.get_submodule(block).named_modules():
            own = dict(part.named_parameters())
            alone = not any(True for _ in part.children())
            if alone and "weight" in own and all(p.ndim == 1 for p in own.values()):
                norms[f"{block}.{name}"] = sum(p.numel() for p in own.values())
    return BiasNorm(biases, norms)
