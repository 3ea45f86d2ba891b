"""What the parts of metrics/summary.json have in common."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Number = int | float
Verdict = Literal["better", "worse", "not distinguishable", "not comparable", "not tested"]


class Part(BaseModel):
    """A part of the summary: read strictly, and never changed."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)
