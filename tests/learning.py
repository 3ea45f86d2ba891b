"""One short training run of a task, from a fresh model to a saved adapter and back."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from adarank.tasks.base import Task
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.lora import attach
from adarank.tuning.prediction import predict
from adarank.tuning.saving import load_adapter, save_adapter
from tests.plans import make_plan

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Learned:
    """What the validation rows' predictions were before, after, and from the reloaded adapter."""

    before: pd.DataFrame
    after: pd.DataFrame
    reloaded: pd.DataFrame


def predicted(model: nn.Module, task: Task, rows: pd.DataFrame, batch_size: int = 8):
    """Predict rows on the CPU."""
    examples = task.encode(rows).examples
    return predict(model, task, examples, batch_size=batch_size, device=CPU)


def learned(
    task: Task, folder: Path, to: Path, rows: pd.DataFrame, validation: pd.DataFrame, steps: int
) -> Learned:
    """Train rank 2 everywhere on `rows`, save below `to`, reload, and predict `validation`."""
    plan = make_plan(folder, lambda _: 2)
    model = attach(task.build(folder, 0), plan, peft_type=task.peft_type, dropout=0.0, seed=0)
    settings = Settings(
        learning_rate=2e-2,
        schedule=Schedule("constant"),
        steps=steps,
        batch_size=8,
        evaluate_every=steps,
    )
    before = predicted(model, task, validation)
    learn_from = task.for_training(task.encode(rows).examples)
    train(model, task, learn_from, task.encode(validation).examples, settings, 0)
    save_adapter(model, to)
    reloaded = load_adapter(task.build(folder, 0), to)
    after = [predicted(one.eval(), task, validation) for one in (model, reloaded)]
    return Learned(before, *after)
