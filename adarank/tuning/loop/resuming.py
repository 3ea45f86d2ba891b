"""Going on with a training run that was cut short, to the bits of one that was not.

transformers' Trainer knows how to skip what is done; what it would write and read as files goes
through `Checkpoints` here, since its own files of optimizer and generators are pickles, and lack
what our watch, tuners and order of rows need.
"""

# ruff: noqa: ARG002 -- the Trainer passes every callback all of these

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from adarank.tuning.loop import checkpoint
from adarank.tuning.loop.checkpoint import Checkpoints, Part, State, joined, part_of


class Resuming(TrainerCallback):
    """Saves a Trainer's state when it is time, and puts back the last one.

    Args:
        checkpoints: Where states go and come from.
        parts: What remembers from step to step beside the Trainer, by name.
    """

    def __init__(self, checkpoints: Checkpoints, parts: Mapping[str, Part]):
        self._checkpoints = checkpoints
        self._parts = parts
        self._last = checkpoints.last()
        self._began = time.perf_counter()

    @property
    def steps_taken(self) -> int:
        """Optimiser steps that an earlier run has taken."""
        return 0 if self._last is None else self._last.note["trainer"]["global_step"]

    @property
    def schedule_from(self) -> int:
        """The optimiser step after which the schedule had begun; 0 but where it was restarted."""
        return 0 if self._last is None else self._last.note["schedule"]["began"]

    @property
    def seconds_before(self) -> float:
        """Time that those took, without looks at validation."""
        return 0.0 if self._last is None else self._last.note["time"]["seconds"]

    def point_for(self, folder: str) -> str | None:
        """Write what `Trainer.train` wants of a checkpoint; None to start from nothing.

        Args:
            folder: An empty one, of the run alone.
        """
        if self._last is None:
            return None
        text = json.dumps(self._last.note["trainer"])
        (Path(folder) / TRAINER_STATE_NAME).write_text(text, encoding="utf-8")
        return folder

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Request a save of the state after this step's validation, if one is due."""
        if self._checkpoints.due():
            control.should_save = True

    def save(self, trainer: Trainer, looking_seconds: float) -> None:
        """Save the whole state; its time excludes looks at validation."""
        optimizer, schedule = _stepping(trainer)
        stepping = time.perf_counter() - self._began - looking_seconds
        own = {
            "weights": checkpoint.weights_state(_model(trainer)),
            "optimizer": checkpoint.optimizer_state(optimizer),
            "schedule": State(note=_plain(schedule.state_dict())),
            "random": checkpoint.random_state(trainer.args.device),
            # Of what it has logged, the watch keeps what is wanted.
            "trainer": State(note=asdict(trainer.state) | {"log_history": []}),
            "time": State(note={"seconds": self.seconds_before + stepping}),
        }
        parts = {name: part.state() for name, part in self._parts.items()}
        self._checkpoints.save(joined(own | parts))

    def restore_model(self, trainer: Trainer) -> None:
        """Restore what the parts remember, then the weights, whose shapes a part may set."""
        last = self._known()
        for name, part in self._parts.items():
            part.restore(part_of(last, name))
        checkpoint.restore_weights(_model(trainer), part_of(last, "weights"))

    def restore_optimizer(self, trainer: Trainer) -> None:
        """Restore the optimizer and its schedule."""
        last, (optimizer, schedule) = self._known(), _stepping(trainer)
        checkpoint.restore_optimizer(optimizer, part_of(last, "optimizer"))
        schedule.load_state_dict(schedule.state_dict() | last.note["schedule"])

    def restore_random(self, trainer: Trainer) -> None:
        """Restore the random generators."""
        checkpoint.restore_random(part_of(self._known(), "random"), trainer.args.device)

    def _known(self) -> State:
        assert self._last is not None
        return self._last


def _model(trainer: Trainer) -> Any:
    return trainer.model


def _stepping(trainer: Trainer) -> tuple[Any, Any]:
    return trainer.optimizer, trainer.lr_scheduler


def _plain(schedule: Mapping[str, Any]) -> dict[str, Any]:
    # The shape is rebuilt.
    return {name: value for name, value in schedule.items() if name != "lr_lambdas"}
