"""The finetune section of params.yaml, and the training settings it stands for."""

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, BeforeValidator, Field

from adarank.errors import input_error
from adarank.pipeline.artifacts.model import pick_device
from adarank.pipeline.params.loader import Section
from adarank.pipeline.params.study import distinct
from adarank.tasks.base import Task
from adarank.tuning.loop.schedules import Schedule, ScheduleName
from adarank.tuning.loop.training import Settings

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
        default=[0.001],
        description="AdamW's highest rate; of a list, the one that does best on validation",
    )
    tuning_seed: int = Field(
        default=100,
        ge=0,
        lt=2**32,
        description="with which a list's rates are tried; none of study.seeds",
    )
    schedule: ScheduleName = Field(
        default="linear",
        description="linear, cosine, constant, or staircase (decay_rate every decay_steps)",
    )
    warmup_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="part of the steps: a linear rise from 0"
    )
    decay_rate: float = Field(
        default=0.8, gt=0, le=1, description="staircase: the factor of one stair"
    )
    decay_steps: int = Field(default=1000, ge=1, description="staircase: optimiser steps per stair")
    steps: int = Field(default=150, ge=1, description="optimiser steps at most")
    batch_size: int = Field(default=16, ge=1, description="rows an optimiser step")
    max_length: int = Field(
        default=64, ge=4, description="tokens of a text at most; longer ones are cut"
    )
    evaluate_every: int = Field(
        default=50, ge=1, description="optimiser steps between looks at validation"
    )
    select_by: str = Field(
        default="loss",
        description="validation metric that chooses the weights kept, and the learning rate of "
        "a list: loss ..., or headline for the one that the task is told by",
    )
    patience: int | None = Field(
        default=None, ge=1, description="looks without a better one that end a run; null for never"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the adapters' inputs")
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False, description="AdamW's")
    max_grad_norm: float = Field(
        default=1.0,
        ge=0,
        allow_inf_nan=False,
        description="gradients are scaled down to this norm; 0: never",
    )
    bf16: Literal["auto"] | bool = Field(
        default="auto", description="forwards in bfloat16; auto where a GPU has it"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto, cpu or cuda")


def settings_of(section: FinetuneSection, task: Task) -> Settings:
    """Turn the section into the settings of a run at its first learning rate.

    Raises:
        InputError: A device, precision or metric that is not there.
    """
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
            remedy="name one that this task has; headline fits every task",
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
            remedy="finetune.bf16: auto",
        )
    return able if wanted == "auto" else wanted
