"""Fine-tune one cell of the study: its plan, once with every seed."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pandas as pd
import torch
import typer
from pydantic import AfterValidator, BeforeValidator, Field

from adarank.allocation.plan import RankPlan
from adarank.errors import input_error
from adarank.tasks.base import Encoded, Task
from adarank.tasks.registry import make_task
from adarank.tuning.finite import DivergedError
from adarank.tuning.rates import Chosen, choose_rate
from adarank.tuning.schedules import Schedule, ScheduleName
from adarank.tuning.training import Settings
from adarank.tuning.tuners.registry import TUNERS
from adarank.tuning.watch import Trained
from stages.cell import RATES, Budget, Cell, Strategy, StudySeeds, seed_folder
from stages.checkpoint import MODEL, load_tokenizer, pick_device
from stages.cli import PARAMS_FILE, ParamsFile, reporting, say
from stages.curves import looks
from stages.dataset import read_description, read_split
from stages.files import whole_folder, write_json, write_tsv
from stages.params import Section, Slice, describe, load
from stages.progress import progress
from stages.remote_code import ModelCode, admit_code
from stages.runs import Work, save_checked, save_failure, train_once
from stages.study import distinct
from stages.task import TaskSection, options_of

HEADLINE = "headline"
"""What finetune.select_by may say instead of a metric's name."""


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


Rates = Annotated[
    list[Annotated[float, Field(gt=0, allow_inf_nan=False)]],
    Field(min_length=1),
    BeforeValidator(_listed),
    AfterValidator(distinct),
]


class FinetuneSection(Section):
    """How a plan is trained."""

    learning_rate: Rates = Field(
        description="AdamW's highest rate; of a list, the one that does best on validation"
    )
    tuning_seed: int = Field(
        ge=0, lt=2**32, description="with which a list's rates are tried; none of study.seeds"
    )
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
    select_by: str = Field(
        description="validation metric that chooses the weights kept, and the learning rate of "
        "a list: loss ..., or headline for the one that the task is told by"
    )
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
    task: TaskSection
    finetune: FinetuneSection
    model: ModelCode


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(strategy: Strategy, budget: Budget, params: ParamsFile = PARAMS_FILE) -> None:
    """Train a cell once with every seed; writes data/adapters and data/curves."""
    cell = Cell(strategy, budget)
    with reporting(f"finetune-{cell.name}") as costs:
        costs |= run(load(Params, params), cell)


def run(params: Params, cell: Cell) -> dict[str, Any]:
    """Choose the learning rate and train every seed; the folders appear when all is done.

    A seed whose training diverges is recorded as failed, and the others go on.

    Returns:
        What the seeds that did not fail cost to train, without the choice of the rate.
    """
    section, seeds = params.finetune, params.study.seeds
    rates = section.learning_rate
    _check_tuning_seed(section, seeds)
    work = _work(params, cell)
    runs = len(seeds) + (len(rates) if len(rates) > 1 else 0)
    with (
        whole_folder(cell.adapters) as adapters,
        whole_folder(cell.curves) as curves,
        progress(f"finetune {cell.name}", work.settings.steps * runs) as advance,
    ):
        chosen = _choose(work, rates, section.tuning_seed, advance)
        write_json(adapters / RATES, _rates_record(work, section.tuning_seed, chosen))
        costs: list[Trained] = []
        drawn: dict[int, pd.DataFrame] = {}
        for seed in seeds:
            folder = seed_folder(adapters, seed)
            try:
                one = train_once(work, seed, chosen.learning_rate, advance)
            except DivergedError as error:
                save_failure(work, seed, chosen.learning_rate, error, folder)
                continue
            save_checked(work, one, folder)
            write_tsv(curves / f"seed-{seed}.tsv", one.trained.curve)
            costs.append(one.trained)
            drawn[seed] = one.trained.curve
    write_tsv(cell.curves.with_name(f"{cell.name}.tsv"), looks(drawn))
    return _costs(costs, work.settings.device)


def _costs(runs: list[Trained], device: str) -> dict[str, Any]:
    seconds, tokens = sum(run.seconds for run in runs), sum(run.tokens for run in runs)
    told: dict[str, Any] = {"training_seconds": round(seconds, 3), "tokens": tokens}
    if seconds:
        told["tokens_per_second"] = round(tokens / seconds, 1)
    if device == "cuda":
        told["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return told


def _check_tuning_seed(section: FinetuneSection, seeds: list[int]) -> None:
    if len(section.learning_rate) > 1 and section.tuning_seed in seeds:
        raise input_error(
            "the seed that rates are tried with is also one that is compared",
            where="finetune.tuning_seed and study.seeds",
            got=f"{section.tuning_seed}, which is among {seeds}",
            expected="a seed that no cell is measured with",
            remedy=f"finetune.tuning_seed: {max(seeds) + 1}",
        )


def _work(params: Params, cell: Cell) -> Work:
    section = params.finetune
    plan = cell.read_plan()
    options = options_of(params.task)
    admit_code(MODEL, trusted=params.model.trust_remote_code)
    task = make_task(read_description(), load_tokenizer(MODEL), section.max_length, options)
    learned, looked_at = (task.encode(read_split(split)) for split in ("train", "validation"))
    rows = task.for_training(learned.examples)
    _tell(cell, plan, len(rows), learned, looked_at)
    settings = _settings(section, task)
    tuner = TUNERS[plan.tuner]
    return Work(plan, tuner, task, rows, looked_at.examples, settings, section.dropout)


def _choose(
    work: Work, rates: list[float], tuning_seed: int, advance: Callable[[], None]
) -> Chosen:
    metric = work.settings.select_by
    chosen = choose_rate(
        rates,
        lambda rate: train_once(work, tuning_seed, rate, advance).trained,
        metric,
        work.task.better[metric],
    )
    for one in chosen.tried:
        value = "undefined" if one.value is None else f"{one.value:.4f}"
        said = one.error or f"validation {metric} {value} at step {one.step}"
        say(f"learning rate {one.learning_rate:g}, seed {tuning_seed}: {said}")
    return chosen


def _rates_record(work: Work, tuning_seed: int, chosen: Chosen) -> dict[str, Any]:
    return {
        "learning_rate": chosen.learning_rate,
        "select_by": work.settings.select_by,
        "tuning_seed": tuning_seed if chosen.tried else None,
        "tried": chosen.to_json(),
    }


def _settings(section: FinetuneSection, task: Task) -> Settings:
    device = pick_device(section.device).type
    schedule = Schedule(
        section.schedule,
        warmup_steps=round(section.warmup_fraction * section.steps),
        decay_rate=section.decay_rate,
        decay_steps=section.decay_steps,
    )
    return Settings(
        learning_rate=section.learning_rate[0],
        schedule=schedule,
        steps=section.steps,
        batch_size=section.batch_size,
        evaluate_every=section.evaluate_every,
        select_by=_select_by(section.select_by, task),
        patience=section.patience,
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        bf16=_bf16(section.bf16, device),
        device=device,
    )


def _select_by(wanted: str, task: Task) -> str:
    if wanted == HEADLINE:
        return task.headline
    if wanted not in task.better:
        raise input_error(
            "no such metric",
            where="finetune.select_by",
            got=wanted,
            expected=f"one of: {', '.join([*task.better, HEADLINE])}",
        )
    return wanted


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


def _tell(cell: Cell, plan: RankPlan, examples: int, learned: Encoded, looked_at: Encoded) -> None:
    cut = learned.truncated + looked_at.truncated
    lost = learned.uncounted + looked_at.uncounted
    say(
        f"finetune {cell.name}: {plan.tuner}, {len(plan.adapted)} of {len(plan.modules)} modules "
        f"have a rank, {plan.parameters} parameters; {examples} rows to learn from, "
        f"{len(looked_at.examples)} to select by"
        + (f", {cut} of them cut" if cut else "")
        + (f", {lost} of these to nothing" if lost else "")
    )


if __name__ == "__main__":
    app()
