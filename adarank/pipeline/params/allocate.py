"""The section allocate of params.yaml."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from adarank.allocation.rounding.apportion import RENAMED
from adarank.allocation.scale import Policy
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


class AllocateSection(Section):
    """From weights to whole ranks."""

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
    seed: int = Field(default=0, ge=0, description="Seed of permuted_.")
    permutations: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Independent draws of a permuted_ plan; seed s trains draw s modulo this.",
    )
