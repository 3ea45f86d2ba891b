"""Transformers' Trainer with our order of rows, schedule, checks and validation."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from adarank.tasks.base import Example, Task
from adarank.tuning.loop.averaging import Averaging
from adarank.tuning.loop.batches import LengthBatches, divided, length
from adarank.tuning.loop.finite import check_finite, check_predictions
from adarank.tuning.loop.muon import to_muon
from adarank.tuning.loop.ratios import SAME, split_groups
from adarank.tuning.loop.resuming import Resuming
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.stepping import Stepping
from adarank.tuning.prediction import predict
from adarank.tuning.seeds import generator
from adarank.tuning.tuners.base import During


class PlanTrainer(Trainer):
    """Trains in a row order of the seed's alone, and stops at a step that is not finite.

    Args:
        model: The model with its adapters.
        arguments: The Trainer's own; `seed` decides the rows' order.
        task: Makes batches, predictions and metrics.
        train_rows: Encoded rows to learn from.
        validation_rows: Encoded rows for `evaluate`.
        schedule: The learning rate's shape.
        during: What the tuner does beside: a penalty, and a call after every step.
        resuming: How its state is saved, and comes back; None for neither.

    Attributes:
        looking_seconds: Time that `evaluate` has taken so far.
        last_loss: The last step's loss.
        ratios: Rates of B and of the head over A's; set before training.
        parts: Parts that a step's rows are divided into; set before training.
        muon: Whether LoRA-Muon trains the factors; set before training.
        averaging: The average that is looked at; None for the weights themselves.
    """

    # A task's loss is a mean over its batch: the Trainer divides by accumulated batches itself.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: nn.Module,
        arguments: TrainingArguments,
        task: Task,
        train_rows: Sequence[Example],
        validation_rows: Sequence[Example],
        schedule: Schedule,
        during: During,
        resuming: Resuming | None = None,
    ):
        self._task = task
        self._train_rows = train_rows
        self._validation_rows = validation_rows
        self._schedule = schedule
        self._during = during
        self._resuming = resuming
        self._last: tuple[Tensor, dict[str, Any]]
        self.looking_seconds = 0.0
        self.last_loss = 0.0
        self.ratios = SAME
        self.parts = 1
        self._share = 1.0
        self.muon = False
        self.averaging: Averaging | None = None
        self._schedule_from = resuming.schedule_from if resuming else 0
        super().__init__(
            model=model,  # pyright: ignore[reportArgumentType]
            args=arguments,
            data_collator=task.collate,
            train_dataset=train_rows,  # pyright: ignore[reportArgumentType]
            eval_dataset=validation_rows,  # pyright: ignore[reportArgumentType]
        )
        # It would print every step's log.
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return batches of similar length, in an order from a generator of its own."""
        order = generator(self.args.seed, "order")
        lengths = [length(example) for example in self._train_rows]
        batches = LengthBatches(lengths, self.args.per_device_train_batch_size, order)
        if self._resuming is not None:
            batches.skip(self._resuming.steps_taken // len(batches))
        rows: Any = self._train_rows
        loader = DataLoader(rows, batch_sampler=batches, collate_fn=self._task.collate)
        return self.accelerator.prepare(loader)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Optimizer:
        """Make the Trainer's optimizer, with groups for B and the head where their rates differ."""
        optimizer = super().create_optimizer(*args, **kwargs)
        assert self.model is not None
        if self.ratios != SAME:
            split_groups(optimizer, self.model, self.ratios)
        if self.muon:
            self.optimizer = optimizer = to_muon(optimizer, self.model)
        return optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: Optimizer | None = None
    ) -> LRScheduler:
        """Make the learning rate's scheduler."""
        chosen: Any = optimizer or self.optimizer
        steps = num_training_steps - self._schedule_from
        self.lr_scheduler: Any = self._schedule.build(chosen, steps)
        self.lr_scheduler.began = self._schedule_from  # saved with the rest of its state
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def stepping(self) -> Stepping:
        """Return the optimizer and schedule for a tuner that changes what is trained."""
        return Stepping(self.optimizer, self._restart_schedule)

    def _restart_schedule(self) -> None:
        self._schedule_from = self.state.global_step
        self.create_scheduler(self.args.max_steps)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor | Any], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Go forward and backward, and remember on what, for the check before the step.

        Divided rows go part by part, each part's mean loss by its share of the loss' terms: the
        gradients add up to the whole batch's, whatever the rows' lengths.
        """
        losses: list[Tensor] = []
        for part, share in divided(model, inputs, self.parts):
            self._share = share
            losses.append(super().training_step(model, part, *args, **kwargs))
        loss = torch.stack(losses).sum()
        self._last = loss, inputs
        return loss

    def floating_point_ops(self, inputs: dict[str, Tensor | Any]) -> int:  # noqa: ARG002
        """Count nothing: the Trainer would count all parameters of the model at each step."""
        return 0

    def _clip_grad_norm(self, model: nn.Module) -> float:
        return self._checked_norm(model, self.args.max_grad_norm)

    def _get_grad_norm(self, model: nn.Module, grad_norm: float | None = None) -> float:
        return self._checked_norm(model, None) if grad_norm is None else grad_norm

    def _checked_norm(self, model: nn.Module, limit: float | None) -> float:
        """Compute the gradients' norm, stop if a step with it would not be finite, and clip.

        As the Trainer's own clipping, but checked in between: afterwards, one NaN is in every
        gradient, and nothing says where it came from.
        """
        loss, inputs = self._last
        parameters = [p for p in model.parameters() if p.grad is not None]
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        # Both at once: on a GPU, every value that is read waits for all that was queued.
        seen, value = torch.stack((loss.float(), norm.to(loss.device, torch.float32))).tolist()
        step = self.state.global_step + 1
        check_finite(model, lambda: self._task.loss(model, inputs), seen, value, step)
        self.last_loss = seen
        if limit is not None:
            clip_grads_with_norm_(parameters, limit, norm)
        return value

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor | Any], *_args: Any, **_kwargs: Any
    ) -> Tensor:
        """Compute the task's own loss, and add the tuner's penalty if it has one."""
        loss = self._task.loss(model, inputs)
        if self._during.penalty is not None:
            with torch.autocast(loss.device.type, enabled=False):
                loss = loss + self._during.penalty()
        return loss if self._share == 1 else loss * self._share

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """Compute the task's metrics on the validation rows, just as they are reported later."""
        began = time.perf_counter()
        model: Any = self.model
        metrics = self._measured()
        with ExitStack() as looked_at:
            if self.averaging is not None:
                self.averaging.control = metrics
                looked_at.enter_context(self.averaging.in_place(model))
                if self.averaging.begun:
                    metrics = self._measured()
            self.control = self.callback_handler.on_evaluate(
                self.args, self.state, self.control, metrics
            )
        self.looking_seconds += time.perf_counter() - began
        return metrics

    def _measured(self) -> dict[str, Any]:
        table = predict(
            self.model,  # pyright: ignore[reportArgumentType]
            self._task,
            self._validation_rows,
            batch_size=self.args.per_device_eval_batch_size,
            device=self.args.device,
        )
        check_predictions(table, self.state.global_step)
        return dict(self._task.metrics(table))

    def _save_checkpoint(self, *_args: Any, **_kwargs: Any) -> None:
        # A run that has just ended saves its result instead.
        if self._resuming is not None and not self.control.should_training_stop:
            self._resuming.save(self, self.looking_seconds)

    def _load_from_checkpoint(self, *_args: Any, **_kwargs: Any) -> None:
        if self._resuming is not None:
            self._resuming.restore_model(self)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self._resuming is not None and checkpoint is not None:
            self._resuming.restore_optimizer(self)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if self._resuming is not None and checkpoint is not None:
            self._resuming.restore_random(self)
