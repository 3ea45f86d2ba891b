"""Members for the study of merging: one base fine-tuned on several small tasks, saved as members.

    python -m bench.merging_members --model FOLDER --data FOLDER --output FOLDER

Each task's train rows are shuffled once; the last fifth (at most 400) is validation. Every member
is `get_peft_model` or the whole model, a plain AdamW loop, and `save_pretrained`. What is there
already is not trained again.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import peft
import torch
import typer
from numpy.typing import NDArray

from adarank.pipeline.artifacts.model import load_tokenizer
from adarank.tasks.base import Headed, Task
from adarank.tasks.registry import make_task

Form = Literal["lora", "full", "planned"]
LABELS = {"trec": "label_coarse", "sst2": "label", "subj": "label", "cr": "label", "mpqa": "label"}
MAX_LENGTH = 64


@dataclass(frozen=True)
class Split:
    """A task's rows: columns text and label (an index)."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Training:
    """How members are trained."""

    steps: int = 120
    batch: int = 16
    rank: int = 8
    lora_rate: float = 2e-3
    full_rate: float = 1e-4


def split_task(data: Path, task: str, test_rows: int = 500) -> Split:
    """Read a task's CSV files and carve validation from train; the first test rows of a shuffle."""
    train, test = (pd.read_csv(data / task / f"{part}.csv") for part in ("train", "test"))
    column = LABELS[task]
    labels = tuple(sorted(train[column].unique()))
    ids = {label: index for index, label in enumerate(labels)}
    train, test = (
        pd.DataFrame(
            {"text": frame["text"].astype(str), "label": [ids[label] for label in frame[column]]}
        )
        for frame in (train, test)
    )
    order = np.random.default_rng(0).permutation(len(train))
    held = min(400, len(train) // 5)
    chosen = np.random.default_rng(1).permutation(len(test))[:test_rows]
    return Split(train.iloc[order[:-held]], train.iloc[order[-held:]], test.iloc[chosen], labels)


def task_of(model: Path, split: Split) -> Task:
    """Make the classification task of a split."""
    description = {"task": "classification", "labels": split.labels}
    return make_task(description, load_tokenizer(model), MAX_LENGTH)


def train_member(
    model: Path, split: Split, form: Form, seed: int, training: Training, folder: Path
) -> None:
    """Train one member and save it."""
    task = task_of(model, split)
    headed = task.build(model, seed)
    torch.manual_seed(seed)
    trained = _adapted(headed, form, seed, training)
    rate = training.full_rate if form == "full" else training.lora_rate
    parameters = [p for p in trained.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, training.steps)
    examples = task.encode(split.train).examples
    trained.train()
    for rows in _batches([len(example["input_ids"]) for example in examples], seed, training):
        loss = task.loss(trained, task.collate([examples[i] for i in rows]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    trained.save_pretrained(str(folder))


def _batches(lengths: list[int], seed: int, training: Training) -> Iterator[NDArray[np.int64]]:
    """Batches of rows of similar length, which need little padding: four drawn at a time."""
    draws = np.random.default_rng(seed)
    for _ in range(0, training.steps, 4):
        pool = draws.choice(len(lengths), 4 * training.batch, replace=False)
        pool = pool[np.argsort([lengths[i] for i in pool], kind="stable")]
        yield from draws.permutation(pool.reshape(4, training.batch))


def _adapted(headed: Headed, form: Form, seed: int, training: Training) -> Any:
    if form == "full":
        return headed.model
    from adarank.models.modules import find_modules, resolve

    names = [resolve(headed.model, m.name) for m in find_modules(headed.model)]
    ranks: dict[str, int] = {}
    if form == "planned":
        # Unequal ranks of mean 8, others for each seed: what a plan's members look like.
        drawn = np.random.default_rng(1000 + seed).choice([2, 4, 8, 18], len(names))
        ranks = {name: int(rank) for name, rank in zip(names, drawn, strict=True)}
    config = peft.LoraConfig(
        r=training.rank,
        lora_alpha=2 * training.rank,
        target_modules=names,
        rank_pattern=ranks,
        alpha_pattern={name: 2 * rank for name, rank in ranks.items()},
        modules_to_save=list(headed.head),
        task_type=None,
    )
    return peft.get_peft_model(headed.model, config)


def main(
    model: Annotated[Path, typer.Option(help="The base model's folder.")],
    data: Annotated[Path, typer.Option(help="A folder a task, with train.csv and test.csv.")],
    output: Annotated[Path, typer.Option(help="Gets FORM-SEED/TASK.")],
    forms: Annotated[str, typer.Option(help="FORM-SEED, commas between.")] = "lora-0,lora-1,full-0",
    steps: Annotated[int, typer.Option(help="Optimiser steps a member.")] = 120,
) -> None:
    """Train every member that is not there yet."""
    torch.set_num_threads(1)
    for name in forms.split(","):
        form, _, seed = name.partition("-")
        for task in LABELS:
            folder = output / name / task
            if (folder / "done.json").exists():
                continue
            start = time.process_time()
            train_member(model, split_task(data, task), form, int(seed), Training(steps), folder)  # pyright: ignore[reportArgumentType]
            done = {"cpu_seconds": time.process_time() - start}
            (folder / "done.json").write_text(json.dumps(done))
            typer.echo(f"{name} {task}: {done['cpu_seconds']:.0f} s")


if __name__ == "__main__":
    typer.run(main)
