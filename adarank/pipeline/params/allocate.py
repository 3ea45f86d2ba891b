"""The section allocate of params.yaml."""

from typing import Literal

from pydantic import Field

from adarank.allocation.scale import Policy
from adarank.pipeline.params.loader import Section


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

    rounding: Literal["exact", "hamilton", "dhondt", "floor"] = Field(
        default="exact",
        description="exact (spends the whole budget), hamilton (largest remainders), dhondt (a "
        "larger budget never takes a rank away) or floor (as published; underspends).",
    )
    min_rank: int = Field(
        default=1, ge=0, description="Least rank of a module; 0: it may get no adapter."
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
    seed: int = Field(default=0, ge=0, description="Seed of what permuted_ draws.")
