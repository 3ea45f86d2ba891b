"""The section evaluate of params.yaml."""

from typing import Literal

from pydantic import Field

from adarank.pipeline.params.loader import Section


class EvaluateSection(Section):
    """How a trained model is measured."""

    batch_size: int = Field(default=64, ge=1, description="rows per forward")
    train_rows: int | None = Field(
        default=500,
        ge=1,
        description="train rows measured for the gap between train and test; null for all",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto, cpu or cuda")
