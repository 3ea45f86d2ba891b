"""Letting a tuner change what is trained, after a step and before it is looked at or saved."""

# ruff: noqa: ARG002 -- the Trainer passes every callback all of these

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from adarank.tuning.loop.averaging import Averaging
from adarank.tuning.loop.trainer import PlanTrainer
from adarank.tuning.loop.watch import Watch
from adarank.tuning.tuners.base import Change


class Changing(TrainerCallback):
    """Calls a tuner's `change` after every step.

    Args:
        change: The tuner's.
        trainer: Whose optimizer and schedule may change with the parameters.
        watch: Forgets the best weights when they no longer fit.
        averaging: Forgets the average then; None without one.
    """

    def __init__(
        self,
        change: Change,
        trainer: PlanTrainer,
        watch: Watch,
        averaging: Averaging | None = None,
    ):
        self._change, self._trainer, self._watch = change, trainer, watch
        self._averaging = averaging

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Call the tuner, which may change what is trained."""
        loss = self._trainer.last_loss
        if self._change(state.global_step, loss, self._trainer.stepping()):
            self._watch.forget()
            if self._averaging is not None:
                self._averaging.forget()
