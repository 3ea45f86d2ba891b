"""A recording of one undisturbed forward: when each part ran, and what it returned."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Recording:
    """What happened inside a model during one forward.

    Attributes:
        starts: Tick at which each submodule was first entered.
        ends: Tick at which it last returned.
        calls: How often it was called.
        inputs: The first tensor given to each linear layer, by name.
        outputs: What the submodules asked for returned.
    """

    starts: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    tick: int = 0

    def finished_before(self, name: str, other: str) -> bool:
        """Whether `other` ran exactly once, and returned before `name` was entered."""
        return self.calls.get(other) == 1 and self.ends[other] < self.starts[name]


@contextmanager
def recorded(
    model: nn.Module, *, outputs: Collection[str] = (), inputs: Collection[str] = ()
) -> Iterator[Recording]:
    """Record the forward that the body runs.

    Args:
        model: Any module; its submodules are watched with hooks, removed afterwards.
        outputs: Names of the submodules whose outputs are kept.
        inputs: Names of the submodules whose first input is kept.
    """
    recording = Recording()
    handles: list[Any] = []
    for name, part in model.named_modules():
        handles.append(part.register_forward_pre_hook(_enter(recording, name, name in inputs)))
        handles.append(part.register_forward_hook(_leave(recording, name, name in outputs)))
    try:
        yield recording
    finally:
        for handle in handles:
            handle.remove()


def children_before(model: nn.Module, name: str, recording: Recording) -> list[str]:
    """List the largest parts of the model that were finished when `name` was entered.

    Those parts cannot depend on `name`: whatever disturbs it, they return the same again.

    Args:
        model: The recorded model.
        name: Full dotted name of a submodule that ran.
        recording: Of one forward of the model.
    """
    found: list[str] = []
    path = name.split(".")
    for depth in range(len(path)):
        parent = ".".join(path[:depth])
        for child in _called_children(model.get_submodule(parent), parent, recording):
            on_path = name == child or name.startswith(f"{child}.")
            if not on_path and recording.finished_before(name, child):
                found.append(child)
    return list(dict.fromkeys(found))


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Rebuild nested tuples, lists and mappings with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return type(value)({key: map_tensors(item, change) for key, item in value.items()})
    if isinstance(value, tuple | list):
        return type(value)(map_tensors(item, change) for item in value)
    return value


def tensors_in(value: Any) -> list[Tensor]:
    """List the tensors of nested tuples, lists and mappings, in `map_tensors`' order."""
    found: list[Tensor] = []
    map_tensors(value, lambda tensor: found.append(tensor) or tensor)
    return found


def _called_children(module: nn.Module, name: str, recording: Recording) -> Iterator[str]:
    for child_name, child in module.named_children():
        full = f"{name}.{child_name}" if name else child_name
        if full in recording.calls:
            yield full
        else:
            yield from _called_children(child, full, recording)


def _enter(recording: Recording, name: str, keep: bool) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...]) -> None:
        recording.tick += 1
        recording.starts.setdefault(name, recording.tick)
        recording.calls[name] = recording.calls.get(name, 0) + 1
        if keep and args and isinstance(args[0], torch.Tensor):
            recording.inputs.setdefault(name, args[0])

    return hook


def _leave(recording: Recording, name: str, keep: bool) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        recording.tick += 1
        recording.ends[name] = recording.tick
        if keep:
            recording.outputs[name] = output

    return hook
