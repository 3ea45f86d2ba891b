"""The runs that bench.training compares, and how they take turns."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peft import PeftModel, TaskType, get_peft_model
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from adarank.allocation.allocate import allocate
from adarank.allocation.plan import RankPlan
from adarank.models.modules import Module, find_modules
from adarank.pipeline.artifacts.model import load_tokenizer, pick_device
from adarank.pipeline.builtin.questions import questions
from adarank.tasks.base import Example, Headed, Task
from adarank.tasks.registry import make_task
from adarank.tuning.loop.batches import LengthBatches, length
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.lora import attach, quietly
from adarank.tuning.seeds import generator
from adarank.tuning.shortcuts.dropout import without_dropout
from adarank.tuning.shortcuts.shortcuts import PrefixStore, Taken, shortcuts

RATE = 1e-3
MAX_LENGTH = 64


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        steps: Optimiser steps of a run.
        rounds: Runs of each method.
        batch_size: Rows a step.
    """

    steps: int = 20
    rounds: int = 5
    batch_size: int = 16


@dataclass(frozen=True)
class Run:
    """One run: its processor seconds, and the loss of each step."""

    seconds: float
    losses: list[float]


@dataclass
class Subject:
    """What is trained.

    Attributes:
        folder: The pretrained model.
        task: What is learned.
        rows: Encoded rows.
        plans: The plan by its name; `uniform` besides, where that is another one.
        plan: The name of the plan that is compared.
        prefix: Whether a frozen prefix's outputs were taken from memory.
        prefix_seconds: What putting them there took.
        last_row: Whether the last block computed only what the head reads.
    """

    folder: Path
    task: Task
    rows: list[Example]
    plans: dict[str, RankPlan]
    plan: str
    prefix: bool = False
    prefix_seconds: float = 0.0
    last_row: bool = False

    @property
    def tokens(self) -> float:
        """Mean tokens of a row."""
        return sum(map(length, self.rows)) / len(self.rows)

    def build(self) -> tuple[Headed, list[Module]]:
        """Load the model without its own dropout, and list its modules."""
        headed = self.task.build(self.folder, 0)
        without_dropout(headed.model)
        return headed, find_modules(headed.model)


def make_subject(folder: Path, texts: Path | None, plan: str, effort: Effort) -> Subject:
    """Read the rows, and make the plans at an average rank of 1.

    Args:
        folder: The model.
        texts: A CSV with `text` and `label_coarse`; None for the built-in questions.
        plan: The plan's strategy.
        effort: How many rows the runs read.
    """
    frame = questions()["train"] if texts is None else pd.read_csv(texts)
    codes = frame["label" if texts is None else "label_coarse"].astype("category").cat
    labels = [str(label) for label in codes.categories]
    table = pd.DataFrame({"text": frame["text"], "label": codes.codes.astype(int)})
    described = {"type": "classification", "labels": labels}
    task = make_task(described, load_tokenizer(folder), MAX_LENGTH)
    # All that are read, and once: a whole number of batches, so that every batch is full.
    n_rows = min(len(table), effort.steps * effort.batch_size * 4) // effort.batch_size
    rows = task.encode(table.head(n_rows * effort.batch_size)).examples
    modules = find_modules(task.build(folder, 0).model)
    names = dict.fromkeys((plan, "uniform"))
    return Subject(folder, task, rows, {name: plan_of(modules, name) for name in names}, plan)


def plan_of(modules: Sequence[Module], strategy: str, budget: float = 1.0) -> RankPlan:
    """Make a strategy's plan for modules that need no score."""
    rows = [
        {name: getattr(module, name) for name in ("block", "kind", "d_in", "d_out")}
        | {"module": module.name, "parameters_per_rank": module.parameters_per_rank}
        for module in modules
    ]
    table = pd.DataFrame(rows).assign(trial=0, score=1.0)
    return allocate({"disagreement": table}, budget=budget, strategy=strategy, min_rank=0)


def in_turns(subject: Subject, effort: Effort) -> dict[str, list[Run]]:
    """Run every method once a round, in an order that is turned round each time."""
    store = PrefixStore()
    plain = PlainRuns(subject, effort)
    methods: dict[str, Callable[[], Run]] = {
        "adarank": lambda: ours(subject, effort, store),
        "plain": lambda: plain.run(subject.plan, shuffled=False),
        "plain, own order": lambda: plain.run(subject.plan, shuffled=True),
    }
    if subject.plan != "uniform":
        methods["plain, uniform"] = lambda: plain.run("uniform", shuffled=False)
    for method in methods.values():
        method()  # first-time allocations, and the prefix's states
    runs: dict[str, list[Run]] = {name: [] for name in methods}
    for turn in range(effort.rounds):
        for name in list(methods)[:: -1 if turn % 2 else 1]:
            runs[name].append(methods[name]())
    return runs


def settings_of(effort: Effort) -> Settings:
    """Make a run's settings: a constant rate, and one look at validation, at the end."""
    return Settings(
        learning_rate=RATE,
        schedule=Schedule("constant"),
        steps=effort.steps,
        batch_size=effort.batch_size,
        evaluate_every=effort.steps,
        device=str(pick_device("auto").type),
    )


def ours(subject: Subject, effort: Effort, store: PrefixStore | None) -> Run:
    """Train as the pipeline does; without a store, without any shortcut."""
    headed, modules = subject.build()
    model = attached(subject, headed, subject.plan)
    settings, taking, rows = settings_of(effort), nullcontext(Taken()), subject.rows
    began = now()
    if store is not None:
        taking = shortcuts(model, modules, subject.task, rows, store, device=settings.device)
    with taking as taken:
        set_up = now() - began
        subject.prefix_seconds = max(subject.prefix_seconds, set_up)
        subject.prefix, subject.last_row = taken.prefix_blocks > 0, taken.last_row
        began = now()
        done = train(model, subject.task, rows, rows[:1], settings, 0)
        seconds = now() - began
    # Every run proves its shortcuts again; storing the prefix falls to the warm-up's alone.
    return Run(set_up + seconds, done.curve["train_loss"].tolist())


def attached(subject: Subject, headed: Headed, plan: str) -> PeftModel:
    """Put a plan's adapters into a model; always the same first weights."""
    peft_type = subject.task.peft_type
    return attach(headed, subject.plans[plan], peft_type=peft_type, dropout=0.0, seed=0)


class PlainRuns:
    """Runs of transformers' Trainer on a PEFT model, as its documentation has it.

    Args:
        subject: What is trained.
        effort: How long.
    """

    def __init__(self, subject: Subject, effort: Effort):
        self._subject, self._effort = subject, effort
        order = LengthBatches(
            [length(row) for row in subject.rows], effort.batch_size, generator(0, "order")
        )
        batches = [rows for _ in range(-(-effort.steps // len(order))) for rows in order]
        self._ordered = [subject.rows[index] for rows in batches[: effort.steps] for index in rows]

    def run(self, plan: str, *, shuffled: bool) -> Run:
        """Train a plan: with the batches that ours has, or with rows in the Trainer's own order."""
        subject, effort = self._subject, self._effort
        headed, _ = subject.build()
        started = attached(subject, headed, plan)
        weights = {n: p.detach().clone() for n, p in started.named_parameters() if p.requires_grad}
        headed, _ = subject.build()
        config = subject.plans[plan].lora_config(
            headed.model,
            task_type=TaskType(subject.task.peft_type),
            modules_to_save=list(headed.head),
        )
        with quietly():
            model = get_peft_model(headed.model, config)
        model.load_state_dict(weights, strict=False)
        with tempfile.TemporaryDirectory() as folder:
            trainer = _Plain(
                ordered=not shuffled,
                model=model,  # pyright: ignore[reportArgumentType]
                args=TrainingArguments(
                    output_dir=folder,
                    max_steps=effort.steps,
                    per_device_train_batch_size=effort.batch_size,
                    learning_rate=RATE,
                    lr_scheduler_type="constant",
                    save_strategy="no",
                    report_to="none",
                    disable_tqdm=True,
                    use_cpu=pick_device("auto").type == "cpu",
                    seed=0,
                ),
                train_dataset=subject.rows if shuffled else self._ordered,  # pyright: ignore
                data_collator=subject.task.collate,
            )
            trainer.remove_callback(PrinterCallback)
            began = now()
            trainer.train()
            seconds = now() - began
        return Run(seconds, torch.stack(trainer.losses).tolist())


class _Plain(Trainer):
    """The Trainer, which also keeps each step's loss, and can keep the rows' order."""

    def __init__(self, *, ordered: bool, **settings: Any):
        super().__init__(**settings)
        self._ordered = ordered
        self.losses: list[Tensor] = []

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        if self._ordered:
            return SequentialSampler(self.train_dataset)  # pyright: ignore
        return super()._get_train_sampler(*args, **kwargs)

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss: Any = super().compute_loss(model, inputs, *args, **kwargs)
        self.losses.append(loss.detach())
        return loss


def now() -> float:
    """Return the processor's seconds; on a GPU the wall's, once it has done all that was asked."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()
