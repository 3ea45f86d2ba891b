"""The runs of `bench.landscape`: random plans of one budget, uniform beside them, a file a run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from adarank.allocation.allocate import allocate
from adarank.allocation.plan import RankPlan
from adarank.allocation.strategies.strategy import Strategy
from adarank.allocation.surface import Surface, as_scores
from adarank.errors import input_error
from adarank.models.bias_norm import BiasNorm
from adarank.models.modules import Module, find_modules
from adarank.models.norms import find_bias_norm
from adarank.pipeline.artifacts.model import load_tokenizer
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.artifacts.task import DESCRIPTION, read_description, read_split, task_folder
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import folder_sha256, read_json, write_json
from adarank.pipeline.params.finetune import FinetuneSection
from adarank.pipeline.params.loader import Slice, load
from adarank.pipeline.params.tasks import TasksSection, finetune_of
from adarank.pipeline.running.settings import settings_of
from adarank.tasks.base import Example, Task
from adarank.tasks.registry import make_task
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.lora import attach
from adarank.tuning.prediction import predict
from adarank.tuning.shortcuts.dropout import without_dropout
from adarank.tuning.shortcuts.shortcuts import PrefixStore, shortcuts

ABOUT = "settings.json"


class Params(Slice):
    """What of a study's params.yaml decides the runs."""

    tasks: TasksSection
    finetune: FinetuneSection


@dataclass(frozen=True)
class Ground:
    """What every run has in common.

    Attributes:
        task: What is learned.
        rows: Encoded rows by split.
        settings: How a run goes.
        section: The section that the settings stand for.
        modules: The model's modules.
        bias_norm: Its biases and norms.
        about: What decides the results; runs of other settings are not mixed with these.
    """

    task: Task
    rows: Mapping[str, Sequence[Example]]
    settings: Settings
    section: FinetuneSection
    modules: Sequence[Module]
    bias_norm: BiasNorm
    about: dict[str, Any]


def read_ground(params: Params, name: str, rate: float | None) -> Ground:
    """Read data/model and data/tasks/NAME of the study in the current folder.

    Args:
        params: The study's.
        name: The task.
        rate: The learning rate; None for the first of the section's.
    """
    about = params.tasks.find(name)
    section = finetune_of(params.finetune, about)
    section = section.model_copy(update={"learning_rate": [rate or section.learning_rate[0]]})
    tokenizer = load_tokenizer(MODEL)
    task = make_task(read_description(name), tokenizer, section.max_length, about.options)
    splits = ("train", "validation", "test")
    encoded = {split: task.encode(read_split(name, split)).examples for split in splits}
    rows = encoded | {"train": task.for_training(encoded["train"])}
    model = task.build(MODEL, 0).model
    modules = find_modules(model)
    files = (DESCRIPTION, *(f"{split}.parquet" for split in splits))
    decides = {
        "model": folder_sha256(MODEL),
        "data": folder_sha256(task_folder(name), files),
        "finetune": section.model_dump(mode="json", exclude={"device", "tuning_seed"}),
    }
    return Ground(
        task,
        rows,
        settings_of(section, task),
        section,
        modules,
        find_bias_norm(model, modules),
        decides,
    )


def open_ground(params: Path, task: str, rate: float | None, folder: Path, **about: Any) -> Ground:
    """Read a study's ground, on one thread, and refuse a folder of other runs.

    Args:
        params: The study's params.yaml.
        task: The task.
        rate: The learning rate; None for the first of the section's.
        folder: Of the runs' files.
        about: What decides the runs besides.

    Raises:
        InputError: The folder holds runs of another model, data or settings.
    """
    torch.set_num_threads(1)
    ground = read_ground(load(Params, params), task, rate)
    check_same(folder, ground.about | about)
    return ground


def check_same(folder: Path, about: dict[str, Any]) -> None:
    """Write down what decides the runs of a folder, or refuse one whose runs are of another kind.

    Raises:
        InputError: The folder holds runs of another model, data or settings.
    """
    path = folder / ABOUT
    if not path.exists():
        write_json(path, about)
    elif (found := read_json(path)) != about:
        raise input_error(
            "the runs here are of another model, data or settings",
            where=str(folder),
            got=sorted(name for name in about if found.get(name) != about[name]),
            expected="what this run would be decided by",
            remedy="give another --output, or delete the folder",
        )


def modules_table(modules: Sequence[Module]) -> pd.DataFrame:
    """Make a score table of equal scores: what `allocate` needs to know of the modules."""
    rows = [
        {name: getattr(module, name) for name in ("block", "kind", "d_in", "d_out")}
        | {"module": module.name, "parameters_per_rank": module.parameters_per_rank}
        for module in modules
    ]
    return pd.DataFrame(rows).assign(trial=0, score=1.0)


def random_plan(
    modules: Sequence[Module], number: int, budget: float, most: int | None
) -> RankPlan:
    """Draw a plan around uniform: shares uniform on the simplex, rounded to the whole budget.

    Args:
        modules: The model's.
        number: The draw's.
        budget: Average rank.
        most: Greatest rank of a module; None for its full rank.
    """
    weights = np.random.default_rng([number, 20261128]).exponential(size=len(modules))
    drawn = Strategy(lambda _: weights, "drawn at random")
    return plan_of(modules, budget, f"random_{number}", drawn, most)


def plan_of(
    modules: Sequence[Module],
    budget: float,
    name: str = "uniform",
    strategy: Strategy | None = None,
    most: int | None = None,
) -> RankPlan:
    """Make the plan of a strategy that needs no score."""
    defined = {name: strategy} if strategy else {}
    table = modules_table(modules)
    return allocate(table, budget=budget, strategy=name, min_rank=0, max_rank=most, defined=defined)


def measured_plan(
    modules: Sequence[Module], surface: Surface, budget: float, name: str, most: int
) -> RankPlan:
    """Make the plan that a surface calls best (`measured`), or its reverse."""
    about = modules_table(modules).drop(columns=["trial", "score"])
    scores = {"measured": as_scores(surface, about, most)}
    return allocate(scores, budget=budget, strategy=name, min_rank=0, max_rank=most)


def run_once(ground: Ground, plan: RankPlan, seed: int, path: Path) -> dict[str, Any]:
    """Train a plan with a seed and measure it on validation and test, unless its file is there.

    Returns:
        ranks, seed, parameters, validation and test (the task's metrics), and seconds (the
        processor's, of the training alone).
    """
    if path.exists():
        return read_json(path)
    trained, seconds = _trained(ground, plan, seed)
    measured = {
        split: ground.task.metrics(
            predict(
                trained,
                ground.task,
                ground.rows[split],
                batch_size=32,
                device=torch.device(ground.settings.device),
            )
        )
        for split in ("validation", "test")
    }
    found = {
        "ranks": plan.ranks,
        "seed": seed,
        "parameters": plan.parameters,
        **measured,
        "seconds": round(seconds, 3),
    }
    write_json(path, found)
    say(f"{path.stem}: test loss {measured['test']['loss']:.4f}, {seconds:.1f} s")
    return found


def _trained(ground: Ground, plan: RankPlan, seed: int) -> tuple[nn.Module, float]:
    """Train as the pipeline does, without stored prefixes; gives the processor's seconds too."""
    headed = ground.task.build(MODEL, seed)
    if not ground.section.base_dropout:
        without_dropout(headed.model)
    modules = find_modules(headed.model)
    dropout, peft_type = ground.section.dropout, ground.task.peft_type
    model = attach(headed, plan, peft_type=peft_type, dropout=dropout, seed=seed)
    train_rows, validation_rows = ground.rows["train"], ground.rows["validation"]
    device = ground.settings.device
    with shortcuts(model, modules, ground.task, train_rows, PrefixStore(0.0), device=device):
        began = time.process_time()
        train(model, ground.task, train_rows, validation_rows, ground.settings, seed)
        return model, time.process_time() - began
