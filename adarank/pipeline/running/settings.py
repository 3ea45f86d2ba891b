"""The training settings that the section finetune stands for."""

from typing import Literal

import torch

from adarank.errors import input_error
from adarank.models.form import BaseForm, check_quantization
from adarank.pipeline.artifacts.model import pick_device
from adarank.pipeline.params.finetune import HEADLINE, FinetuneSection
from adarank.tasks.base import Task
from adarank.tuning.loop.ratios import RateRatios
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings


def settings_of(section: FinetuneSection, task: Task) -> Settings:
    """Turn the section into the settings of a run at its first learning rate and ratio.

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
        ratios=RateRatios(section.rate_ratio[0], section.head_rate_ratio),
        accumulation=section.gradient_accumulation,
        optimizer=section.optimizer,
        ema=section.ema,
    )


def checked_form(form: BaseForm, tuner: str, *, bias_norm: bool = False) -> BaseForm:
    """Return the base's form, if a plan can be trained on it.

    Args:
        form: The base's.
        tuner: The plan's.
        bias_norm: Whether biases and norms of the base are trained, too.

    Raises:
        InputError: The tuner trains the base's own weights, or PEFT loads its factors in the
            base's dtype, so that only float32 is read back as it was; biases and norms would be
            trained in another dtype; or the package that packs the base is missing.
    """
    needs = {
        "full": "full fine-tuning trains the base's own weights, so they must be in float32",
        "adalora": "PEFT loads AdaLoRA's factors in the base's dtype, so it must be float32",
    }
    if tuner in needs and not form.plain:
        raise input_error(
            needs[tuner],
            where="model.dtype, model.quantization",
            got=f"{form.dtype}, {form.quantization or 'null'}",
            expected=f"float32 and null where a strategy's tuner is {tuner}",
            remedy=f"leave both out, or the strategies that are trained by {tuner}",
        )
    if bias_norm and not form.plain:
        raise input_error(
            "biases and norms would be trained in the base's dtype, in which small steps are lost",
            where="model.dtype, model.quantization",
            got=f"{form.dtype}, {form.quantization or 'null'}",
            expected="float32 and null where a strategy begins with bias_norm_",
            remedy="leave both out, or the strategies with bias_norm_",
        )
    if form.quantization is not None:
        check_quantization(form.quantization)
    return form


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
