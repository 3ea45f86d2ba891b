"""The state of a training run between two steps, as tensors and JSON, and its way back.

Everything that the next step depends on: trained weights, optimizer, schedule, random generators,
and what the watch and the tuner remember. The order of the rows is of the seed alone and is drawn
again. There is no pickle in it.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class State:
    """What something remembers.

    Attributes:
        tensors: By name.
        note: What JSON can hold.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    note: dict[str, Any] = field(default_factory=dict[str, Any])


class Part(Protocol):
    """Something that remembers from step to step."""

    def state(self) -> State:
        """Return what it remembers."""
        ...

    def restore(self, state: State) -> None:
        """Restore what `state` once returned."""
        ...


class Checkpoints(Protocol):
    """Where a run's state goes, and comes from when the run was cut short."""

    def last(self) -> State | None:
        """Return what was saved last; None where there is nothing."""
        ...

    def due(self) -> bool:
        """Whether it is time to save."""
        ...

    def save(self, state: State) -> None:
        """Save the state in place of the one before; its tensors change after the call."""
        ...


def joined(parts: Mapping[str, State]) -> State:
    """Join the states of several parts."""
    tensors = {f"{p}/{n}": t for p, state in parts.items() for n, t in state.tensors.items()}
    return State(tensors, {name: state.note for name, state in parts.items()})


def part_of(state: State, name: str) -> State:
    """Return one part's state out of what `joined` made."""
    return State(part_named(state.tensors, name), state.note[name])


def part_named(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `name/`, without that prefix."""
    prefix = f"{name}/"
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def weights_state(model: nn.Module) -> State:
    """Return what training may change in a model: trained parameters and saved buffers."""
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    saved = model.state_dict().keys()
    buffers = {n: b for n, b in model.named_buffers() if n in saved and n not in fixed}
    return State({name: tensor.detach() for name, tensor in (trained | buffers).items()})


def restore_weights(model: nn.Module, state: State) -> None:
    """Restore the weights that `weights_state` returned."""
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, tensor in state.tensors.items():
            own[name].copy_(tensor)


def optimizer_state(optimizer: Optimizer) -> State:
    """Return an optimizer's moments, step counts and rates."""
    whole = optimizer.state_dict()
    tensors = {
        f"{index}/{name}": value
        for index, values in whole["state"].items()
        for name, value in values.items()
    }
    return State(tensors, {"groups": whole["param_groups"]})


def restore_optimizer(optimizer: Optimizer, state: State) -> None:
    """Restore what `optimizer_state` returned."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in state.tensors.items():
        index, _, name = key.partition("/")
        moments.setdefault(int(index), {})[name] = value
    # JSON knows no tuples.
    groups = [{**group, "betas": tuple(group["betas"])} for group in state.note["groups"]]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def random_state(device: torch.device) -> State:
    """Return the state of every global random generator that a step may draw from."""
    found: Any = np.random.get_state()
    kind, keys, *rest = found
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(keys.astype(np.int64))}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    return State(tensors, {"numpy": [kind, *rest], "python": random.getstate()})


def restore_random(state: State, device: torch.device) -> None:
    """Restore what `random_state` returned."""
    torch.set_rng_state(state.tensors["torch"])
    kind, *rest = state.note["numpy"]
    np.random.set_state((kind, state.tensors["numpy"].numpy().astype(np.uint32), *rest))
    version, numbers, gauss = state.note["python"]
    random.setstate((version, tuple(numbers), gauss))
    if device.type == "cuda":
        torch.cuda.set_rng_state(state.tensors["cuda"], device)
