"""What a plan can cover of a model's blocks: modules that run, that PEFT adapts, that can learn.

The rule: what a score or a plan covers is what runs on the texts, what PEFT will adapt and what
training will reach. Everything else in the blocks is named, with its share of their weights.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from adarank.errors import input_error
from adarank.models.kinds import ALL_LINEAR
from adarank.models.modules import Module, find_modules, resolve
from adarank.models.peft_support import refused_by_peft
from adarank.models.plain import check_plain
from adarank.models.stacks import base_model, find_stacks, linear_shape

Forward = Callable[[nn.Module, Any], object]
_NOT_RUN = "did not run on the texts"
_NOT_CALLED = "the model reads their weight without calling the layer, so an adapter has no effect"
_NOT_REACHED = "no gradient reaches them from the output"


@dataclass(frozen=True)
class LeftOut:
    """A part of the blocks that no plan covers.

    Attributes:
        what: What it is and why it is left out, in words.
        names: Dotted names in the base model, of modules or of parameters.
        share: Its share of the blocks' weights, 0 to 1.
        linear: Whether it is linear modules, which a plan might be expected to cover.
    """

    what: str
    names: tuple[str, ...]
    share: float
    linear: bool

    def __str__(self) -> str:
        first = f"{self.names[0]}{', ...' if len(self.names) > 1 else ''}"
        return f"{percent(self.share)} of the weights of the blocks are {self.what} ({first})"


@dataclass(frozen=True)
class Coverage:
    """The modules that can be scored and adapted, and what of the blocks is left out.

    Attributes:
        modules: By block, as `find_modules` gives them.
        found: Linear modules of the kinds asked for, covered or not.
        share: Share of the blocks' weights (matrices; no biases, no norms) in `modules`.
        left_out: Everything else that the kinds asked for do not rule out.
    """

    modules: tuple[Module, ...]
    found: int
    share: float
    left_out: tuple[LeftOut, ...]

    def lines(self) -> list[str]:
        """Describe what is covered and what is not, a line each."""
        covered = f"{len(self.modules)} of {self.found} linear modules, "
        covered += f"{percent(self.share)} of the weights of the blocks"
        return [covered, *(str(part) for part in self.left_out)]


def cover(
    model: nn.Module,
    batches: Sequence[Any],
    kinds: Sequence[str] = (ALL_LINEAR,),
    forward: Forward = lambda model, batch: model(**batch),
) -> Coverage:
    """List the modules that a score or a plan can cover, and everything that it cannot.

    A module is covered if its layer is called on at least one of the batches, the output depends
    on it in a way that has a gradient, and PEFT adapts it under its name.

    Args:
        model: A transformers model, with or without a head; its mode becomes evaluation, its
            weights and gradients stay as they were.
        batches: What the model is run on, once each, and once more on one row with gradients.
            Without any, only what PEFT adapts is looked at.
        kinds: Kinds to keep, as for `find_modules`.
        forward: Runs the model on a batch; returns a tensor, or something with tensors in it.

    Raises:
        InputError: A model that is wrapped, quantised or offloaded; an unknown kind; or nothing
            left to adapt.
    """
    check_plain(model)
    model.eval()
    asked = find_modules(model, kinds)
    reasons = _unreached(model, asked, batches, forward) if batches else {}
    running = [module for module in asked if module.name not in reasons]
    reasons |= refused_by_peft(base_model(model)[1], running)
    kept = tuple(module for module in asked if module.name not in reasons)
    sizes = _block_weights(model)
    total = max(sum(size for _, size in sizes.values()), 1)
    parts = _modules_left_out(asked, reasons, total)
    parts += _others_left_out(sizes, total)
    if not kept:
        raise _nothing_left(model, parts)
    covered = sum(module.d_in * module.d_out for module in kept)
    return Coverage(kept, len(asked), covered / total, tuple(parts))


def _unreached(
    model: nn.Module, modules: Sequence[Module], batches: Sequence[Any], forward: Forward
) -> dict[str, str]:
    """Find modules that do not run, run without being called, or have no gradient."""
    layers = {m.name: model.get_submodule(resolve(model, m.name)) for m in modules}
    with _called(layers) as called, torch.no_grad():
        for batch in batches:
            forward(model, batch)
    with _called(layers) as called_on_one, _connected(model, layers) as connected:
        _backward(forward(model, _one_row(batches[0])))
    reasons: dict[str, str] = {}
    for name in layers:
        if name not in called:
            reasons[name] = _NOT_CALLED if name in connected else _NOT_RUN
        elif name in called_on_one and name not in connected:
            reasons[name] = _NOT_REACHED
    return reasons


@contextmanager
def _called(layers: Mapping[str, nn.Module]) -> Iterator[set[str]]:
    found: set[str] = set()
    with ExitStack() as hooks:
        for name, layer in layers.items():

            def note(*_: object, name: str = name) -> None:
                found.add(name)

            hooks.callback(layer.register_forward_hook(note).remove)
        yield found


@contextmanager
def _connected(model: nn.Module, layers: Mapping[str, nn.Module]) -> Iterator[set[str]]:
    """Note whose weight a backward inside reaches; each gradient is freed at once.

    A gradient of zeros counts: one row may well give it, and another not.
    """
    found: set[str] = set()
    before = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    with ExitStack() as undo:
        for parameter, required, gradient in before:
            undo.callback(_put_back, parameter, required, gradient)
            parameter.requires_grad_(False)
        for name, layer in layers.items():

            def note(parameter: Tensor, name: str = name) -> None:
                found.add(name)
                parameter.grad = None

            weight = layer.get_parameter("weight")
            weight.requires_grad_(True)
            weight.grad = None
            undo.callback(weight.register_post_accumulate_grad_hook(note).remove)
        with torch.enable_grad():
            yield found


def _put_back(parameter: nn.Parameter, required: bool, gradient: Tensor | None) -> None:
    parameter.requires_grad_(required)
    parameter.grad = gradient


def _backward(result: object) -> None:
    tensors: list[Tensor] = []
    _collect(result, tensors)
    connected = [t for t in tensors if t.requires_grad]
    if connected:
        torch.autograd.backward([tensor.float().sum() for tensor in connected])


def _collect(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, Mapping):
        for inner in value.values():  # pyright: ignore[reportUnknownVariableType]
            _collect(inner, found)
    elif isinstance(value, list | tuple):
        for inner in value:  # pyright: ignore[reportUnknownVariableType]
            _collect(inner, found)


def _one_row(batch: Any) -> Any:
    rows = len(next(iter(batch.values())))
    return {k: v[:1] if v.dim() and len(v) == rows else v for k, v in batch.items()}


def _block_weights(model: nn.Module) -> dict[str, tuple[str, int]]:
    """Return what each matrix of the blocks is, and its entries, by its first name in the base."""
    base = base_model(model)[1]
    found: dict[str, tuple[str, int]] = {}
    seen: set[int] = set()
    for block in (block for stack in find_stacks(model) for block in stack.blocks):
        for owner_name, owner in base.get_submodule(block).named_modules(prefix=block):
            for name, parameter in owner.named_parameters(recurse=False):
                if parameter.dim() > 1 and name != "bias" and id(parameter) not in seen:
                    seen.add(id(parameter))
                    what = _sort_of(owner, parameter)
                    found[f"{owner_name}.{name}"] = (what, parameter.numel())
    return found


def _sort_of(owner: nn.Module, parameter: Tensor) -> str:
    if linear_shape(owner) is not None:
        return "linear"
    if isinstance(owner, nn.Embedding):
        return "embedding"
    if type(owner).__module__ == "torch.nn.modules.conv":
        return "convolution"
    return "experts" if parameter.dim() == 3 and "expert" in type(owner).__name__.lower() else "raw"


_OTHERS = {
    "experts": "fused experts, which LoRA plans here do not cover",
    "raw": "parameters used without a linear layer, which LoRA plans here do not cover",
    "embedding": "embeddings inside the blocks, which are not adapted",
    "convolution": "convolutions, which are not adapted",
}


def _modules_left_out(
    modules: Sequence[Module], reasons: Mapping[str, str], total: int
) -> list[LeftOut]:
    parts: list[LeftOut] = []
    for reason in dict.fromkeys(reasons.values()):
        members = [module for module in modules if reasons.get(module.name) == reason]
        share = sum(module.d_in * module.d_out for module in members) / total
        what = f"linear modules left out ({len(members)}): {reason}"
        parts.append(LeftOut(what, tuple(module.name for module in members), share, linear=True))
    return parts


def _others_left_out(sizes: Mapping[str, tuple[str, int]], total: int) -> list[LeftOut]:
    parts: list[LeftOut] = []
    for sort, what in _OTHERS.items():
        names = tuple(name for name, (found, _) in sizes.items() if found == sort)
        if names:
            share = sum(sizes[name][1] for name in names) / total
            parts.append(LeftOut(what, names, share, linear=False))
    return parts


def _nothing_left(model: nn.Module, parts: Sequence[LeftOut]) -> Exception:
    return input_error(
        "no module is left that a plan could cover",
        where=type(model).__name__,
        got="; ".join(map(str, parts)),
        expected="linear layers that run on the texts and that PEFT adapts",
        remedy="all-linear, or texts that the whole model reads",
    )


def percent(share: float) -> str:
    """Write a share of 0 to 1 as per cent, to one figure below 1 %."""
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 1 or percent == 0 else f"{percent:.1g} %"
