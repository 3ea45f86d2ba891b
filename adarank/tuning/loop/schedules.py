"""How the learning rate goes over a run."""

from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import get_scheduler

ScheduleName = Literal["linear", "cosine", "constant", "staircase"]

_LIBRARY_NAMES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


@dataclass(frozen=True)
class Schedule:
    """The shape of the learning rate over optimiser steps; its height is set elsewhere.

    `linear` and `cosine` fall to 0 at the last step, `constant` stays, and `staircase` is
    decay_rate ** floor(step / decay_steps), the exponential decay in jumps with which AdaRank
    trained (Dong 2024, arXiv 2408.09015). All rise linearly over `warmup_steps` first.

    Attributes:
        name: Which shape.
        warmup_steps: Optimiser steps of linear rise from 0.
        decay_rate: The factor of one stair.
        decay_steps: Optimiser steps per stair, counted from the end of the rise.
    """

    name: ScheduleName
    warmup_steps: int = 0
    decay_rate: float = 0.8
    decay_steps: int = 1000

    def build(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Make the scheduler of a run of `steps` optimiser steps."""
        if self.name == "staircase":
            return LambdaLR(optimizer, self.stair)
        return get_scheduler(
            _LIBRARY_NAMES[self.name],
            optimizer,
            num_warmup_steps=self.warmup_steps,
            num_training_steps=steps,
        )

    def stair(self, step: int) -> float:
        """Return the staircase's factor at an optimiser step, counted from 0."""
        if step < self.warmup_steps:
            return step / self.warmup_steps
        return self.decay_rate ** ((step - self.warmup_steps) // self.decay_steps)
