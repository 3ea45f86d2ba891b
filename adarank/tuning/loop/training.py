"""Training a model with transformers' Trainer: every step checked, the best weights kept."""

import os
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn
from transformers import TrainingArguments

from adarank.tasks.base import Example, Task
from adarank.tuning.loop.averaging import Averaging
from adarank.tuning.loop.changing import Changing
from adarank.tuning.loop.checkpoint import Checkpoints
from adarank.tuning.loop.ratios import SAME, RateRatios
from adarank.tuning.loop.resuming import Resuming
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.trainer import PlanTrainer
from adarank.tuning.loop.watch import Trained, Watch
from adarank.tuning.tuners.base import During


@dataclass(frozen=True)
class Settings:
    """How an adapter is trained.

    Attributes:
        learning_rate: The schedule's height.
        schedule: The learning rate's shape.
        steps: Optimiser steps at most.
        batch_size: Rows an optimiser step.
        evaluate_every: Optimiser steps between looks at the validation rows; the last step
            is followed by one in any case.
        select_by: The task's metric on validation whose best look gives the weights kept.
        patience: Looks without a better one after which training ends; None for never.
        weight_decay: AdamW's and Muon's, on everything trained but biases.
        max_grad_norm: The gradient is scaled down to this norm; 0 for never.
        bf16: Whether forwards run in bfloat16 where that is safe; weights stay float32.
        device: `cpu`, or `cuda` for the current GPU.
        ratios: Rates of B and of the head over A's.
        accumulation: Parts that a step's rows are divided into; their gradients add up to that of
            the whole.
        optimizer: `adamw`, or `muon` for LoRA's factors with AdamW for the rest.
        ema: Decay of the average over steps that is looked at and kept; None for the weights
            themselves.
    """

    learning_rate: float
    schedule: Schedule
    steps: int
    batch_size: int
    evaluate_every: int
    select_by: str = "loss"
    patience: int | None = None
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    bf16: bool = False
    device: str = "cpu"
    ratios: RateRatios = SAME
    accumulation: int = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    ema: float | None = None


def train(
    model: nn.Module,
    task: Task,
    train_rows: Sequence[Example],
    validation_rows: Sequence[Example],
    settings: Settings,
    seed: int,
    advance: Callable[[], None] = lambda: None,
    during: During | None = None,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train what is trainable in a model, and leave its best weights in it.

    The order of the rows depends on `seed` and their lengths alone, never on the adapters.

    Args:
        model: The model, with what is to be trained requiring gradients; changed in place.
        task: Makes batches, predictions and metrics.
        train_rows: Encoded rows to learn from.
        validation_rows: Encoded rows that choose the weights kept.
        settings: See Settings.
        seed: Decides the rows' order and dropout.
        advance: Called after each optimiser step.
        during: What the tuner does beside; None for nothing.
        checkpoints: Where the run's state is saved, and comes back from when an earlier run was
            cut short: what is trained is the same bit for bit. None for neither.

    Raises:
        InputError: `settings.select_by` is no metric of the task.
        DivergedError: A loss or gradient norm that is not finite, at that very step.
    """
    beside = during or During()
    averaging = None if settings.ema is None else Averaging(settings.ema, beside.keep_from)
    beside = averaging.beside(beside) if averaging else beside
    watch = Watch(task, settings.select_by, settings.patience, advance, beside)
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(),
        repeatable(settings.device),
    ):
        arguments = _arguments(settings, seed, folder)
        parts = {"watch": watch, "tuner": beside.part, "averaging": averaging}
        parts = {name: part for name, part in parts.items() if part is not None}
        resuming = Resuming(checkpoints, parts) if checkpoints else None
        trainer = PlanTrainer(
            model, arguments, task, train_rows, validation_rows, settings.schedule, beside, resuming
        )
        trainer.ratios, trainer.muon = settings.ratios, settings.optimizer == "muon"
        trainer.parts = settings.accumulation
        trainer.averaging = averaging
        trainer.add_callback(watch)
        if beside.change:
            trainer.add_callback(Changing(beside.change, trainer, watch, averaging))
        if averaging:  # after a change of ranks, before the state is saved
            trainer.add_callback(averaging)
        if resuming:
            trainer.add_callback(resuming)
        began = time.perf_counter()
        trainer.train(resume_from_checkpoint=resuming and resuming.point_for(folder))
        seconds = time.perf_counter() - began - trainer.looking_seconds
        seconds += resuming.seconds_before if resuming else 0
    tokens = trainer.state.num_input_tokens_seen
    return replace(watch.finish(model), tokens=tokens, seconds=seconds)


def _arguments(settings: Settings, seed: int, folder: str) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=folder,
        seed=seed,
        max_steps=settings.steps,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch",
        bf16=settings.bf16,
        use_cpu=settings.device == "cpu",
        eval_strategy="steps",
        eval_steps=settings.evaluate_every,
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        # The filter would replace a NaN by the mean of the losses before it.
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        label_names=["labels"],
    )
    if arguments.n_gpu > 1:
        # Or every visible GPU would take a batch of its own, unasked.
        arguments._n_gpu = 1  # pyright: ignore[reportPrivateUsage]
    return arguments


@contextmanager
def repeatable(device: str) -> Generator[None]:
    """On a GPU, prefer kernels that give the same bits each time; a CPU's do already."""
    if device == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    # Warn only: a kernel without a repeatable form should cost repeatability, not the run.
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)
