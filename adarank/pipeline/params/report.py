"""The report section: from which fall of a result on a pull request fails. No stage reads it."""

from typing import Annotated, Literal

from pydantic import Field

from adarank.pipeline.params.loader import Section, Slice

StaleBy = Literal["code", "inputs"]
"""What a stage may be stale by: the project's code, or its parameters, data and results."""


class Report(Section):
    """What a pull request may do to the results."""

    max_drop: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=0.02,
        description="a pull request fails where a cell's headline metric gets worse by more than "
        "this, in the metric's own unit: 0.02 is two points of accuracy; null: never",
    )
    stale_fails: list[StaleBy] = Field(
        default=["code", "inputs"],
        description="a pull request fails where dvc.lock is stale by these: code, inputs "
        "(parameters, data, results); of the other it is only reported",
    )


class Params(Slice):
    """What the command reads."""

    report: Report
