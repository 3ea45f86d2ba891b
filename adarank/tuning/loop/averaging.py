"""The average of the trained weights over steps."""

# ruff: noqa: ARG002 -- the Trainer passes every callback all of these

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from adarank.tuning.loop.checkpoint import State
from adarank.tuning.tuners.base import During


class Averaging(TrainerCallback):
    """Keeps an exponential moving average of what is trained, and puts it in place to be looked at.

    After n steps the average is

        sum_(i <= n) d^(n - i) w_i / sum_(i <= n) d^(n - i),

    w_i the weights after step i and d the decay: as Adam's corrected moments, so that the weights
    before the first step, where B is zero, have no part in it. It spans some 1 / (1 - d) steps.
    Training itself goes on from the weights as they are.

    Args:
        decay: Between 0 and 1; 0 is the weights themselves.
        begins: The first step whose weights count: those before may have other ranks.

    Attributes:
        control: Metrics of the weights as they are at the present look, beside the average's.
    """

    def __init__(self, decay: float, begins: int = 1):
        self._decay, self._begins = decay, begins
        self.control: Mapping[str, float | None] = {}
        self._steps = 0
        self._average: dict[str, Tensor] = {}

    @property
    def begun(self) -> bool:
        """Whether a step's weights are in it; before, it stands for the weights themselves."""
        return bool(self._average)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the weights after a step to the average."""
        assert model is not None
        if state.global_step >= self._begins:
            self.add(model)

    @torch.no_grad()
    def add(self, model: nn.Module) -> None:
        """Add the present weights to the average."""
        self._steps += 1
        weight = (1 - self._decay) / (1 - self._decay**self._steps)
        for name, p in _trained(model).items():
            before = self._average[name].to(p.device) if self._steps > 1 else p.detach()
            self._average[name] = torch.lerp(before, p.detach(), weight)

    @contextmanager
    def in_place(self, model: nn.Module) -> Generator[None]:
        """Replace the weights by the average while the body runs; not before it has begun."""
        trained = _trained(model) if self._average else {}
        before = {name: p.detach().clone() for name, p in trained.items()}
        _put(trained, self._average)
        try:
            yield
        finally:
            _put(trained, before)

    def beside(self, during: During) -> During:
        """Add the control's metrics to the curve, as unaveraged_METRIC."""

        def looked() -> dict[str, Any]:
            own = {f"unaveraged_{name}": value for name, value in self.control.items()}
            return (during.looked() if during.looked else {}) | own

        return replace(during, looked=looked)

    def forget(self) -> None:
        """Start over: what is trained has changed its shape or meaning."""
        self._steps, self._average = 0, {}

    def state(self) -> State:
        """Return the average, and over how many steps it is."""
        return State(self._average, {"steps": self._steps})

    def restore(self, state: State) -> None:
        """Restore what `state` returned."""
        self._steps, self._average = state.note["steps"], dict(state.tensors)


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def _put(parameters: dict[str, nn.Parameter], weights: dict[str, Tensor]) -> None:
    for name, p in parameters.items():
        p.copy_(weights[name])
