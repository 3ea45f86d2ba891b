"""Watching a run: its curve, its best weights, and when it no longer improves."""

# ruff: noqa: ARG002 -- the Trainer passes every callback all of these

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from adarank.errors import input_error
from adarank.tasks.base import Task
from adarank.tuning.loop.checkpoint import State
from adarank.tuning.loop.finite import DivergedError, non_finite_prediction
from adarank.tuning.tuners.base import During


@dataclass(frozen=True)
class Trained:
    """What a training run came to; the weights are in the model that was given.

    Attributes:
        curve: One row an optimiser step taken: step, learning_rate, train_loss,
            gradient_norm (before clipping), and validation_* where it was looked at.
        best_step: The optimiser step whose weights were kept.
        validation: Every metric on validation at that step.
        tokens: Tokens learned from, padding left out, over all steps.
        seconds: Time of the steps, without the looks at validation.
        record: What the tuner has to say of the run; JSON can hold it.
    """

    curve: pd.DataFrame
    best_step: int
    validation: dict[str, float | None]
    tokens: int = 0
    seconds: float = 0.0
    record: dict[str, Any] = field(default_factory=dict[str, Any])


Outcome = Trained | DivergedError
"""What a run came to, or where it diverged."""


@dataclass
class _Best:
    """The best look at validation so far, and how many there were since."""

    step: int = 0
    value: float = math.inf
    since: int = 0
    metrics: dict[str, float | None] = field(default_factory=dict[str, float | None])
    weights: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


class Watch(TrainerCallback):
    """Keeps the curve and the best weights, and ends a run that no longer improves.

    Args:
        task: Names the metrics, and says which way each improves.
        select_by: The metric that chooses the weights kept; the earliest of equals.
        patience: Looks without a better one after which to end the run; None for never.
        advance: Called after each optimiser step.
        during: What the tuner does after a step, and from which step weights may be kept.

    Raises:
        InputError: `select_by` is no metric of the task.
    """

    def __init__(
        self,
        task: Task,
        select_by: str,
        patience: int | None,
        advance: Callable[[], None],
        during: During,
    ):
        self._metric = select_by
        self._sign = _sign(task, select_by)
        self._patience = patience
        self._advance = advance
        self._during = during
        self._columns = [f"validation_{name}" for name in task.better]
        self._rows: list[dict[str, Any]] = []
        self._best = _Best()

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Count the steps that were taken before a run was cut short."""
        for _ in range(state.global_step):
            self._advance()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note an optimiser step's row of the curve."""
        if logs and "grad_norm" in logs:
            row = {
                "step": state.global_step,
                "learning_rate": logs["learning_rate"],
                "train_loss": logs["loss"],
                "gradient_norm": logs["grad_norm"],
            }
            self._rows.append(row | (self._during.columns() if self._during.columns else {}))

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Hand the step to the tuner, while its gradients are still there."""
        if self._during.stepped is not None:
            self._during.stepped(state.global_step + 1)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Count an optimiser step."""
        self._advance()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Note a look at validation, and keep the weights if it is the best one."""
        assert metrics is not None and model is not None
        if not math.isfinite(metrics["loss"]):
            raise non_finite_prediction(state.global_step, metrics["loss"])
        self._rows[-1] |= {f"validation_{name}": value for name, value in metrics.items()}
        self._rows[-1] |= self._during.looked() if self._during.looked else {}
        if state.global_step < self._during.keep_from:
            return
        self._compare(state.global_step, metrics, model)
        if self._patience is not None and self._best.since >= self._patience:
            control.should_training_stop = True

    def forget(self) -> None:
        """Forget the best weights: what is trained has changed, and they fit no longer."""
        self._best = _Best()

    def state(self) -> State:
        """Return the curve, and the best weights with their record."""
        best = self._best
        note = {
            "rows": self._rows,
            "step": best.step,
            "value": best.value,
            "since": best.since,
            "metrics": best.metrics,
        }
        return State(best.weights, note)

    def restore(self, state: State) -> None:
        """Restore what `state` returned."""
        note = state.note
        self._rows = note["rows"]
        self._best = _Best(
            note["step"], note["value"], note["since"], note["metrics"], state.tensors
        )

    def finish(self, model: nn.Module) -> Trained:
        """Restore the best weights and return the curve."""
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, weights in self._best.weights.items():
                parameters[name].copy_(weights)
        own = ["step", "learning_rate", "train_loss", "gradient_norm"]
        added = dict.fromkeys(
            name for row in self._rows for name in row if name not in (*own, *self._columns)
        )
        curve = pd.DataFrame(self._rows, columns=[*own, *added, *self._columns])
        record = self._during.finish() if self._during.finish else {}
        return Trained(curve, self._best.step, self._best.metrics, record=record)

    def _compare(self, step: int, metrics: dict[str, Any], model: nn.Module) -> None:
        value = metrics[self._metric]
        # The first look is kept even where the metric is undefined on these rows.
        value = math.inf if value is None else self._sign * value
        if self._best.step and value >= self._best.value:
            self._best.since += 1
            return
        trained = ((n, p) for n, p in model.named_parameters() if p.requires_grad)
        weights = {name: parameter.detach().clone() for name, parameter in trained}
        self._best = _Best(step, value, 0, dict(metrics), weights)


def _sign(task: Task, metric: str) -> int:
    if metric not in task.better:
        raise input_error(
            "no such metric",
            where="select_by",
            got=metric,
            expected=f"one of: {', '.join(task.better)}",
        )
    return 1 if task.better[metric] == "lower" else -1
