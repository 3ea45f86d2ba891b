"""What a tuner is: one way to make a model trainable, to save what was trained, to load it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from adarank.allocation.plan import RankPlan
from adarank.tasks.base import Example, Headed, Task
from adarank.tuning.loop.checkpoint import Part
from adarank.tuning.loop.stepping import Stepping

Change = Callable[[int, float, Stepping], bool]
"""Called after an optimiser step with its number, its loss and what takes the steps, once the
gradients are gone. May replace trained parameters; returns whether their shapes or meaning changed,
so that earlier weights fit no longer."""


@dataclass(frozen=True)
class Start:
    """What a tuner may need to know of the run it begins.

    Attributes:
        task: What the model is to learn.
        train_rows: Encoded rows to learn from, for a start that depends on them.
        steps: Optimiser steps of the run.
        batch_size: Rows an optimiser step.
        dropout: On the adapters' inputs.
        seed: Decides the initial weights.
        device: Where the run will be, `cpu` or `cuda`.
        directions: Along which the factors begin, where the plan's start needs some: orthonormal
            rows by module name, shape (at least its rank, d_in).
    """

    task: Task
    train_rows: Sequence[Example]
    steps: int
    batch_size: int
    dropout: float
    seed: int
    device: str = "cpu"
    directions: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass(frozen=True)
class During:
    """What a tuner does while the model is trained.

    Attributes:
        penalty: Computes what is added to each batch's loss, a scalar; None for nothing.
        stepped: Called after each optimiser step with its number, counted from 1, while the
            step's gradients are still there; None for nothing.
        change: May change what is trained, after each optimiser step; None for nothing.
        columns: Returns what is added to the curve's row of the step just taken; None for nothing.
        looked: Returns what is added to the curve's row at a look at validation; None for nothing.
        finish: Called once the best weights are back; returns what the run's record is to hold of
            them. None for nothing.
        keep_from: The first optimiser step whose weights may be kept as the best ones.
        part: What the tuner remembers from step to step beside trained weights; None for nothing.
    """

    penalty: Callable[[], Tensor] | None = None
    stepped: Callable[[int], None] | None = None
    change: Change | None = None
    columns: Callable[[], dict[str, int]] | None = None
    looked: Callable[[], dict[str, float]] | None = None
    finish: Callable[[], dict[str, Any]] | None = None
    keep_from: int = 1
    part: Part | None = None


@dataclass(frozen=True)
class Found:
    """What a model holds, read from its layers and not from any configuration.

    Attributes:
        ranks: Rank by module name in the base model, for every adapter; empty without adapters.
        parameters: Trained parameters, the head's apart.
        head_parameters: Parameters of the head, which is trained whole.
    """

    ranks: dict[str, int]
    parameters: int
    head_parameters: int


class Tuner(Protocol):
    """One way to train a plan."""

    def attach(self, headed: Headed, plan: RankPlan, start: Start) -> nn.Module:
        """Make the model trainable as the plan says, on the CPU; `headed` is changed in place.

        Raises:
            RunError: What was built is not what was planned.
        """
        ...

    def during(self, model: nn.Module, plan: RankPlan, start: Start) -> During:
        """Return what is to be done while the model, attached with this start, is trained."""
        ...

    def verify(self, model: nn.Module, plan: RankPlan, head: Sequence[str]) -> Found:
        """Read what an attached, trained or loaded model holds, and hold it to the plan.

        Raises:
            RunError: Names what differs, got and expected.
        """
        ...

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Collect the tensors that saving writes, by their names in the file."""
        ...

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was trained; the same weights give the same bytes."""
        ...

    def load(self, headed: Headed, folder: Path) -> nn.Module:
        """Load what was saved into a fresh model.

        Raises:
            InputError: A file is damaged, or of another model.
        """
        ...
