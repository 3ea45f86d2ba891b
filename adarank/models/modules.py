"""Which linear layers of a transformer can be adapted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from adarank.errors import InputError, input_error
from adarank.models.kinds import ALL_LINEAR, check_kinds, kind_of

if TYPE_CHECKING:
    from torch import nn

    from adarank.models.stacks import Stack


@dataclass(frozen=True)
class Module:
    """One adaptable linear layer.

    Attributes:
        name: Full dotted name in the base model (AutoModel's class; no task head's prefix).
        block: Its depth, 0 nearest the input.
        kind: What it is in its block: query, key, value, dense, up, gate, down ...
        d_in: Input features.
        d_out: Output features.
        aliases: Other names of the same weight (a layer registered twice, or tied to another):
            it is scored and adapted once, under `name`. Not part of a module's identity.
    """

    name: str
    block: int
    kind: str
    d_in: int
    d_out: int
    aliases: tuple[str, ...] = field(default=(), compare=False)

    @property
    def parameters_per_rank(self) -> int:
        """Trainable parameters that one unit of LoRA rank costs: d_in + d_out."""
        return self.d_in + self.d_out


def find_modules(model: nn.Module, kinds: Sequence[str] = (ALL_LINEAR,)) -> list[Module]:
    """List the linear layers of a transformer's blocks.

    Layers outside the repeated blocks (embeddings, poolers, heads) are left out.

    Args:
        model: Any transformers model, with or without a task's head; the names are the same.
        kinds: Kinds to keep, each matched exactly (`query` leaves out `cross_query`), or
            `all-linear` for every linear layer of the blocks.

    Returns:
        By block, and within a block in the order in which the model registers them. An
        encoder-decoder's decoder counts its blocks on from the encoder's last. A weight with
        several names is listed once, with the others as its aliases; a block that is applied
        several times (ALBERT) is listed once, see `adarank.models.stacks.reapplied_blocks`.

    Raises:
        InputError: A kind that the model lacks; no repeated block; or adapters already there.

    Example:
        A random BERT of two blocks:

        >>> from transformers import BertConfig, BertModel
        >>> model = BertModel(BertConfig(
        ...     vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        ...     intermediate_size=16,
        ... ))
        >>> len(find_modules(model))
        12
        >>> for module in find_modules(model, ["up"]):
        ...     print(module.block, module.name, module.parameters_per_rank)
        0 encoder.layer.0.intermediate.dense 24
        1 encoder.layer.1.intermediate.dense 24
    """
    # Here, because allocation reads Module and must start without torch.
    from adarank.models.stacks import base_model, find_stacks

    base = base_model(model)[1]
    modules = _merge_shared(base, _all_modules(base, find_stacks(model)))
    check_kinds(kinds, (module.kind for module in modules))
    if ALL_LINEAR in kinds:
        return modules
    return [module for module in modules if module.kind in kinds]


def resolve(model: nn.Module, name: str) -> str:
    """Return the full dotted name, in this model, of a layer named as in its base model.

    Args:
        model: The model at hand: with or without a head, or wrapped by PEFT.
        name: A name in the base model, such as Module.name.

    Returns:
        The name with the base model's own name in `model` before it.

    Raises:
        InputError: There is no such layer.
    """
    from adarank.models.stacks import base_model

    prefix, base = base_model(model)
    try:
        base.get_submodule(name)
    except AttributeError:
        raise _absent(name, base) from None
    return f"{prefix}.{name}" if prefix else name


def _absent(name: str, base: nn.Module) -> InputError:
    from adarank.models.stacks import named_parts

    near = get_close_matches(name, [own for own, _ in named_parts(base)], n=1)
    return input_error(
        "the model has no such module",
        where=type(base).__name__,
        got=name,
        expected=f"a dotted name in the base model{f', such as {near[0]}' if near else ''}",
        remedy="use the very model that the names were made from",
    )


def _all_modules(base: nn.Module, stacks: list[Stack]) -> list[Module]:
    modules: list[Module] = []
    for stack in stacks:
        for depth, block in enumerate(stack.blocks, stack.first):
            modules += _block_modules(block, base.get_submodule(block), depth)
    return sorted(modules, key=lambda module: module.block)


def _block_modules(block: str, layer: nn.Module, depth: int) -> list[Module]:
    from adarank.models.stacks import linear_layers

    shapes = {name: shape for name, _, shape in linear_layers(layer)}
    _refuse_adapters(shapes, block)
    by_parent: dict[str, dict[str, tuple[int, int]]] = {}
    for name, shape in shapes.items():
        parent, _, last = name.rpartition(".")
        by_parent.setdefault(parent, {})[last] = shape
    return [
        Module(
            f"{block}.{name}",
            depth,
            kind_of(name.split("."), shape, by_parent[name.rpartition(".")[0]]),
            *shape,
        )
        for name, shape in shapes.items()
    ]


def _merge_shared(base: nn.Module, modules: list[Module]) -> list[Module]:
    from adarank.models.stacks import linear_layers

    # Weights are compared by identity, so all are held until the last has been compared.
    weights = {name: layer.weight for name, layer, _ in linear_layers(base)}
    names: dict[int, list[str]] = {}
    for name, weight in weights.items():
        names.setdefault(id(weight), []).append(name)
    merged: dict[int, Module] = {}
    for module in modules:
        shared = id(weights[module.name])
        others = tuple(name for name in names[shared] if name != module.name)
        merged.setdefault(shared, replace(module, aliases=others))
    return list(merged.values())


def _refuse_adapters(names: Iterable[str], block: str) -> None:
    adapted = [name for name in names if "base_layer" in name.split(".")]
    if adapted:
        raise input_error(
            "the model already carries adapters",
            where=f"{block}.{adapted[0]}",
            expected="a model as pretrained: its own linear layers",
            remedy="load the model again, or merge_and_unload() its adapter",
        )
