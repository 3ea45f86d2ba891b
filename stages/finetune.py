"""Fine-tune one cell of the study: an adapter with the plan's ranks, for every seed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import typer
from pydantic import Field

from adarank.allocation.plan import RankPlan
from adarank.errors import input_error
from adarank.tasks.base import Encoded, Task
from adarank.tasks.registry import make_task
from adarank.tuning.lora import attach, head_parameters
from adarank.tuning.saving import save_adapter, verify_saved
from adarank.tuning.schedules import Schedule, ScheduleName
from adarank.tuning.training import Settings, train
from adarank.tuning.watch import Trained
from stages.cell import Budget, Cell, Strategy, StudySeeds, seed_folder
from stages.checkpoint import MODEL, load_tokenizer, pick_device
from stages.cli import PARAMS_FILE, ParamsFile, reporting, say
from stages.dataset import read_description, read_split
from stages.files import whole_folder, write_tsv
from stages.params import Section, Slice, describe, load
from stages.progress import progress


class FinetuneSection(Section):
    """How adapters are trained."""

    learning_rate: float = Field(gt=0, allow_inf_nan=False, description="AdamW's highest rate")
    schedule: ScheduleName = Field(
        description="linear, cosine, constant, or staircase (decay_rate every decay_steps)"
    )
    warmup_fraction: float = Field(
        ge=0, lt=1, description="part of the steps: a linear rise from 0"
    )
    decay_rate: float = Field(gt=0, le=1, description="staircase: the factor of one stair")
    decay_steps: int = Field(ge=1, description="staircase: optimiser steps per stair")
    steps: int = Field(ge=1, description="optimiser steps at most")
    batch_size: int = Field(ge=1, description="rows an optimiser step")
    max_length: int = Field(ge=4, description="tokens of a text at most; longer ones are cut")
    evaluate_every: int = Field(ge=1, description="optimiser steps between looks at validation")
    select_by: str = Field(description="validation metric that chooses the weights kept: loss ...")
    patience: int | None = Field(
        ge=1, description="looks without a better one that end a run; null for never"
    )
    dropout: float = Field(ge=0, lt=1, description="on the adapters' inputs")
    weight_decay: float = Field(ge=0, allow_inf_nan=False, description="AdamW's")
    max_grad_norm: float = Field(
        ge=0, allow_inf_nan=False, description="gradients are scaled down to this norm; 0: never"
    )
    bf16: Literal["auto"] | bool = Field(
        description="forwards in bfloat16; auto where a GPU has it"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto, cpu or cuda")


class Params(Slice):
    """What the stage reads."""

    study: StudySeeds
    finetune: FinetuneSection


@dataclass(frozen=True)
class Work:
    """What all seeds of a cell have in common."""

    plan: RankPlan
    task: Task
    train: Encoded
    validation: Encoded
    settings: Settings
    dropout: float


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(strategy: Strategy, budget: Budget, params: ParamsFile = PARAMS_FILE) -> None:
    """Train a cell's adapters, one a seed; writes data/adapters/CELL and data/curves/CELL."""
    cell = Cell(strategy, budget)
    with reporting(f"finetune-{cell.name}"):
        run(load(Params, params), cell)


def run(params: Params, cell: Cell) -> None:
    """Train every seed of a cell; its folders appear when all are done."""
    work = _work(params.finetune, cell)
    seeds = params.study.seeds
    with (
        whole_folder(cell.adapters) as adapters,
        whole_folder(cell.curves) as curves,
        progress(f"finetune {cell.name}", work.settings.steps * len(seeds)) as advance,
    ):
        for seed in seeds:
            _train_seed(work, seed, adapters, curves, advance)


def _work(section: FinetuneSection, cell: Cell) -> Work:
    settings = _settings(section)
    plan = cell.read_plan()
    task = make_task(read_description(), load_tokenizer(MODEL), section.max_length)
    encoded = task.encode(read_split("train")), task.encode(read_split("validation"))
    _tell(cell, plan, *encoded)
    return Work(plan, task, *encoded, settings, section.dropout)


def _train_seed(
    work: Work, seed: int, adapters: Path, curves: Path, advance: Callable[[], None]
) -> None:
    task, plan = work.task, work.plan
    headed = task.build(MODEL, seed)
    model = attach(headed, plan, peft_type=task.peft_type, dropout=work.dropout, seed=seed)
    trained = train(
        model, task, work.train.examples, work.validation.examples, work.settings, seed, advance
    )
    folder = seed_folder(adapters, seed)
    save_adapter(model, folder, base_name=MODEL.as_posix())
    adapted = verify_saved(model, plan, folder, lambda: task.build(MODEL, seed))
    write_tsv(curves / f"seed-{seed}.tsv", trained.curve)
    lora = sum(one.parameters for one in adapted.values())
    head = sum(head_parameters(model).values())
    say(
        f"seed {seed}: {_metrics(trained)} at step {trained.best_step}; "
        f"{len(adapted)} ranks as planned, {lora} LoRA + {head} head parameters"
    )


def _settings(section: FinetuneSection) -> Settings:
    device = pick_device(section.device).type
    schedule = Schedule(
        section.schedule,
        warmup_steps=round(section.warmup_fraction * section.steps),
        decay_rate=section.decay_rate,
        decay_steps=section.decay_steps,
    )
    return Settings(
        learning_rate=section.learning_rate,
        schedule=schedule,
        steps=section.steps,
        batch_size=section.batch_size,
        evaluate_every=section.evaluate_every,
        select_by=section.select_by,
        patience=section.patience,
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        bf16=_bf16(section.bf16, device),
        device=device,
    )


def _bf16(wanted: Literal["auto"] | bool, device: str) -> bool:
    able = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted is True and device == "cuda" and not able:
        raise input_error(
            "this GPU has no bfloat16",
            where="finetune.bf16",
            got=True,
            expected="auto or false on this machine",
        )
    return able if wanted == "auto" else wanted


def _tell(cell: Cell, plan: RankPlan, train_rows: Encoded, validation_rows: Encoded) -> None:
    cut = train_rows.truncated + validation_rows.truncated
    say(
        f"finetune {cell.name}: {len(plan.adapted)} of {len(plan.modules)} modules get an adapter, "
        f"{plan.parameters} parameters; {len(train_rows.examples)} rows to learn from, "
        f"{len(validation_rows.examples)} to select by" + (f", {cut} of them cut" if cut else "")
    )


def _metrics(trained: Trained) -> str:
    known = {name: value for name, value in trained.validation.items() if value is not None}
    return "validation " + ", ".join(f"{name} {value:.4f}" for name, value in known.items())


if __name__ == "__main__":
    app()
