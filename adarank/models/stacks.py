"""The repeated blocks of a transformer, and the linear layers in them, found by structure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from transformers.pytorch_utils import Conv1D

from adarank.errors import input_error

_LISTS = (nn.ModuleList, nn.Sequential)


@dataclass(frozen=True)
class Stack:
    """One list of repeated blocks: an encoder's, or a decoder's.

    Attributes:
        name: Dotted name of the list in the base model: encoder.layer.
        blocks: Dotted names of its distinct blocks, in the order in which they first run. A block
            that is applied several times (ALBERT's only one) is listed once: its modules are
            scored and adapted once, for all its applications; see `reapplied_blocks`.
        first: Depth of its first block. Stacks that follow one another count on: a decoder's
            first block comes after the encoder's last.
    """

    name: str
    blocks: tuple[str, ...]
    first: int


def base_model(model: nn.Module) -> tuple[str, nn.Module]:
    """Find the model below a task's head.

    Returns:
        Its dotted name in `model` ("" if `model` is a base model itself), and the base model.
    """
    prefix = getattr(model, "base_model_prefix", "")
    base = getattr(model, prefix, None) if prefix else None
    if not isinstance(base, nn.Module):
        return "", model
    # By identity: a wrapper (PEFT's) shows the attribute, but holds it under a longer name.
    return next((name, part) for name, part in named_parts(model) if part is base)


def find_stacks(model: nn.Module) -> list[Stack]:
    """Find the repeated stack, or stacks, of a transformer.

    A stack is an outermost list whose members share a class of their own and hold linear layers.

    Args:
        model: Any transformers model, with or without a task's head.

    Returns:
        The stacks, in the order in which the model registers them. Lists of equal length under
        one parent (XLM's attentions and ffns) are parts of the same blocks and share depths.

    Raises:
        InputError: The model has no repeated block.
    """
    base = base_model(model)[1]
    stacks: list[Stack] = []
    for name, members in _outermost(base, ""):
        blocks = tuple(dict.fromkeys(_first_names(name, members)))
        stacks.append(Stack(name, blocks, _first_depth(name, blocks, stacks)))
    if not stacks:
        raise input_error(
            "no repeated block found, so there is no depth to spread ranks over",
            where=type(model).__name__,
            expected="a model with a list of like blocks (nn.ModuleList) that hold linear layers",
            remedy="name a transformer encoder or decoder as the model",
        )
    return stacks


@torch.no_grad()
def reapplied_blocks(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    forward: Callable[[nn.Module, Any], object] = lambda model, batch: model(**batch),
) -> dict[str, int]:
    """Count, in one forward, the applications of each block that is applied more than once.

    Args:
        model: Any transformers model; its mode (training or evaluation) is left as it is.
        batch: Input tensors by name.
        forward: Runs the model on the batch.

    Returns:
        Applications by the block's dotted name in the base model; empty where every block runs
        at most once.

    Raises:
        InputError: The model has no repeated block.
    """
    base = base_model(model)[1]
    counts: Counter[str] = Counter()
    with ExitStack() as hooks:
        for name in (block for stack in find_stacks(model) for block in stack.blocks):

            def count(*_: object, block: str = name) -> None:
                counts[block] += 1

            hook = base.get_submodule(name).register_forward_pre_hook(count)
            hooks.callback(hook.remove)
        forward(model, batch)
    return {block: n for block, n in counts.items() if n > 1}


def named_parts(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every (dotted name, part) below and including a module, every name of a shared one."""
    # torch leaves this half typed
    return cast("Iterator[tuple[str, nn.Module]]", root.named_modules(remove_duplicate=False))


def linear_shape(layer: nn.Module) -> tuple[int, int] | None:
    """Return (d_in, d_out) of a layer that LoRA can adapt as a linear one; None for any other."""
    if isinstance(layer, Conv1D):
        d_in, d_out = layer.get_parameter("weight").shape
        return d_in, d_out
    # nn.MultiheadAttention reads this class's weight without calling it: an adapter would be
    # left out of the product.
    if isinstance(layer, nn.Linear) and not isinstance(layer, NonDynamicallyQuantizableLinear):
        return layer.in_features, layer.out_features
    return None


def linear_layers(root: nn.Module) -> list[tuple[str, nn.Module, tuple[int, int]]]:
    """List (dotted name, layer, (d_in, d_out)) below a module, every name of a shared one."""
    found: list[tuple[str, nn.Module, tuple[int, int]]] = []
    for name, layer in named_parts(root):
        shape = linear_shape(layer)
        if shape is not None:
            found.append((name, layer, shape))
    return found


def _outermost(parent: nn.Module, path: str) -> Iterator[tuple[str, list[nn.Module]]]:
    for key, child in parent.named_children():
        name = f"{path}.{key}" if path else key
        members = list(child) if isinstance(child, _LISTS) else []
        if _repeats(members, at_least=2 if isinstance(child, nn.Sequential) else 1):
            yield name, members
        else:
            yield from _outermost(child, name)


def _repeats(members: list[nn.Module], at_least: int) -> bool:
    if len(members) < at_least:
        return False
    # Linear layers in a row are a head, and lists in a list are looked into one by one.
    if any(isinstance(member, _LISTS) or linear_shape(member) for member in members):
        return False
    common = set[type].intersection(*(set(type(member).__mro__) for member in members))
    return bool(common - set(nn.Module.__mro__)) and any(map(linear_layers, members))


def _first_names(name: str, members: list[nn.Module]) -> Iterator[str]:
    first: dict[int, int] = {}
    for index, member in enumerate(members):
        yield f"{name}.{first.setdefault(id(member), index)}"


def _first_depth(name: str, blocks: tuple[str, ...], before: list[Stack]) -> int:
    parent = name.rpartition(".")[0]
    beside = not name.rpartition(".")[2].isdigit()  # lists in a list follow one another
    for stack in before:
        same_parent = stack.name.rpartition(".")[0] == parent
        if beside and same_parent and len(stack.blocks) == len(blocks):
            return stack.first
    return max((stack.first + len(stack.blocks) for stack in before), default=0)
