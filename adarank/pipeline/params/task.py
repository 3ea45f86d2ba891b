"""The task section of params.yaml: how the dataset's task is learned and measured."""

from typing import Literal

from pydantic import Field

from adarank.pipeline.params.loader import Section
from adarank.tasks.base import Options


class TaskSection(Section):
    """How the task is learned and measured; keys that the task at hand has no use for rest."""

    hidden: int | None = Field(
        ge=1,
        le=2**16,
        description="classification, regression: width of a GELU layer before the last one, 768 "
        "as published; null for none",
    )
    loss: Literal["mse", "mae"] = Field(description="regression: squared or absolute error")
    loss_on: Literal["all", "response"] = Field(
        description="causal_lm: learn from all tokens, or from the response's only"
    )
    packing: bool = Field(
        description="causal_lm: fill sequences of finetune.max_length with several rows"
    )
    max_new_tokens: int = Field(ge=1, description="seq2seq: tokens written at most")
    positive: str | None = Field(
        description="seq2seq: the label whose F1 is reported beside macro-F1; null for the last"
    )


def options_of(section: TaskSection) -> Options:
    """Turn the section into the task's options."""
    return Options(**section.model_dump())
