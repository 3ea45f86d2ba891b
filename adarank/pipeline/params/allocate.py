"""The section allocate of params.yaml."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from adarank.allocation.plan_cost import Unit
from adarank.allocation.rounding.apportion import RENAMED
from adarank.allocation.scale import Policy
from adarank.allocation.strategies.priced import PricedBy
from adarank.pipeline.params.loader import Section


def _current_rounding(name: object) -> object:
    if isinstance(name, str) and name in RENAMED:
        raise ValueError(f"{name} is now called {RENAMED[name]}: rounding: {RENAMED[name]}")
    return name


class ScaleParams(Section):
    """How alphas follow from ranks."""

    policy: Policy = Field(
        default="ratio",
        description="ratio (the same factor, `value`, for every module), rslora (alpha = value, "
        "factor alpha / sqrt(rank)) or constant (alpha = value, factor alpha / rank).",
    )
    value: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="The policy's number.")


class StepParams(Section):
    """The training step that operations and memory are counted for."""

    rows: int = Field(default=16, ge=1, description="Rows of a step: finetune.batch_size.")
    tokens: int = Field(
        default=64, ge=1, description="Tokens of a row, on average: at most finetune.max_length."
    )
    stored_prefix: bool = Field(
        default=False,
        description="Whether the outputs of blocks before the first adapted one are stored: a "
        "model without dropout, or finetune.base_dropout: false.",
    )
    last_row: bool = Field(
        default=False,
        description="Whether the last block computes one token where it can: classification "
        "and regression.",
    )


class AllocateSection(Section):
    """From weights to whole ranks."""

    unit: Unit = Field(
        default="parameters",
        description="What a budget is paid in. A plan may spend what uniform ranks of the budget "
        "cost: parameters (trained), training_flops (operations of a step) or memory (activations "
        "kept for the backward pass, adapters, gradients and AdamW's moments). Cells of other "
        "units than parameters are compared at unequal parameters, and say so.",
    )
    step: StepParams = Field(
        default=StepParams(),
        description="rows, tokens, stored_prefix, last_row: the step that training_flops and "
        "memory are counted for.",
    )

    rounding: Annotated[
        Literal["spend_all", "hamilton", "floor"], BeforeValidator(_current_rounding)
    ] = Field(
        default="spend_all",
        description="spend_all (the closest ranks that spend the whole budget), hamilton (largest "
        "remainders) or floor (as published; underspends).",
    )
    min_rank: int | None = Field(
        default=None,
        ge=0,
        description="Least rank of a module; 0: it may get no adapter; null: 1 for budgets of 2 "
        "and more, else 0.",
    )
    max_rank: int | None = Field(
        default=None,
        ge=1,
        description="Greatest rank of a module; null: min(d_in, d_out) of each.",
    )
    scale: ScaleParams = Field(
        default=ScaleParams(),
        description="policy: ratio, rslora or constant; value: its number, above 0.",
    )
    price_per_block: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="priced_: what every opened block must add to the plan's value, of which all "
        "blocks have 1 and some of them the root of their share of the budget.",
    )
    priced_by: PricedBy = Field(
        default="blocks",
        description="priced_: blocks (each costs the same) or training_flops (blocks cost what "
        "they add to a step, and are opened from the last one on).",
    )
    seed: int = Field(default=0, ge=0, description="Seed of permuted_.")
    permutations: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Independent draws of a permuted_ plan; seed s trains draw s modulo this.",
    )
