"""Which modules PEFT really adapts, found by letting it build adapters on a weightless copy."""

import copy
import re
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adarank.models.modules import Module

_ELSEWHERE = "PEFT gives these names to other weights of such a model (fused experts)"


def refused_by_peft(base: nn.Module, modules: Sequence[Module]) -> dict[str, str]:
    """Find the modules that LoRA targets would not reach, by building what PEFT makes of them.

    PEFT refuses some modules by name and model type (Mamba's out_proj), and for mixtures of
    experts it moves gate_proj, up_proj and down_proj to the fused experts, whichever layer they
    were meant for. Neither is written down anywhere a plan could look it up, so adapters of rank
    1 are built on a copy of the model without memory (device "meta"): for all modules at once
    and, only where that goes wrong, for each last part of a name by itself.

    Args:
        base: A base model that carries no adapters; left as it is.
        modules: What a plan would adapt.

    Returns:
        The reason in words, by module name; empty where PEFT adapts exactly these modules.
    """
    if not modules or not _difference(base, modules):
        return {}
    groups: dict[str, list[Module]] = {}
    for module in modules:
        groups.setdefault(module.name.rpartition(".")[2], []).append(module)
    refused: dict[str, str] = {}
    for members in groups.values():
        reason = _difference(base, members)
        if reason:
            refused |= {module.name: reason for module in members}
    rest = [module for module in modules if module.name not in refused]
    reason = _difference(base, rest) if rest else ""
    return refused | ({module.name: reason for module in rest} if reason else {})


def _difference(base: nn.Module, modules: Sequence[Module]) -> str:
    """Build adapters for modules; empty if exactly these got one, else why not."""
    from peft import LoraConfig, get_peft_model  # costs seconds
    from peft.tuners.lora import LoraLayer

    wanted = {module.name for module in modules}
    skeleton = without_weights(base)
    endings = tuple(f".{name}" for name in wanted)
    others = [n for n, _ in skeleton.named_modules() if n.endswith(endings) and n not in wanted]
    config = LoraConfig(r=1, target_modules=sorted(wanted), exclude_modules=others or None)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            adapted = get_peft_model(skeleton, config)  # pyright: ignore[reportArgumentType]
        except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
            return _in_words(error)
    layers = adapted.get_base_model().named_modules()
    built = {name for name, layer in layers if isinstance(layer, LoraLayer)}
    return "" if built == wanted else _ELSEWHERE


def without_weights(model: nn.Module) -> nn.Module:
    """Copy a model's structure; its parameters and buffers are on the meta device.

    Ties stay ties: what is one tensor in the model is one in the copy.
    """
    memo: dict[int, object] = {
        id(p): nn.Parameter(p.detach().to("meta"), requires_grad=False) for p in model.parameters()
    }
    memo |= {id(buffer): buffer.to("meta") for buffer in model.buffers()}
    # Some models keep a state from their last forward (recurrent ones), which may have a graph.
    states = [value for part in model.modules() for value in vars(part).values()]
    memo |= {id(v): v.detach().to("meta") for v in states if isinstance(v, Tensor)}
    return copy.deepcopy(model, memo)


def _in_words(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "without also targeting" in text:
        return _ELSEWHERE
    first = re.sub(r"^\[PEFT[^]]*\] ", "", text).partition(". ")[0].rstrip(".")
    return f"PEFT refuses them: {first}"
