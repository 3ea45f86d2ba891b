"""The optimizer and schedule of a run, what of them a tuner may change between two steps."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

Resize = Callable[[str, Tensor], Tensor]
"""Makes a moment of a new parameter from that of the old one and its name in the optimizer."""


class Stepping:
    """What takes a run's steps.

    Args:
        optimizer: AdamW, or another whose state is tensors by parameter; maybe wrapped.
        restart_schedule: Restarts the learning rate's shape, for the steps that are left.
    """

    def __init__(self, optimizer: Any, restart_schedule: Callable[[], None]):
        self._optimizer = getattr(optimizer, "optimizer", optimizer)
        self._restart_schedule = restart_schedule

    def replace(self, old: nn.Parameter, new: nn.Parameter, resize: Resize | None = None) -> None:
        """Train one parameter in place of another, in the same group.

        Args:
            old: One that is trained.
            new: What takes its place.
            resize: Makes the new moments; None for none: Adam then counts its steps from 0.
        """
        for group in self._optimizer.param_groups:
            group["params"] = [new if one is old else one for one in group["params"]]
        state = self._optimizer.state.pop(old, None)
        if state and resize:
            moments = {name: resize(name, value) for name, value in state.items() if value.ndim}
            self._optimizer.state[new] = {**state, **moments}

    def remove(self, old: nn.Parameter) -> None:
        """Train a parameter no longer."""
        for group in self._optimizer.param_groups:
            group["params"] = [one for one in group["params"] if one is not old]
        self._optimizer.state.pop(old, None)

    def restart(self) -> None:
        """Forget all moments and begin the schedule from its start, as a fresh optimizer would."""
        self._optimizer.state.clear()
        self._restart_schedule()
