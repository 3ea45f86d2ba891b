"""metrics/summary.json, read strictly: the study's cells, comparisons and verdicts.

An empty list is written as null.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from adarank.errors import input_error
from adarank.pipeline.files.whole import EMPTY_AS_NULL, read_json
from adarank.pipeline.params.study import plan_name

SUMMARY = Path("metrics/summary.json")

Verdict = Literal["better", "worse", "not distinguishable", "not comparable"]
Number = int | float


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Failure(_Part):
    """A seed that did not finish, and why."""

    seed: int
    error: str


class Estimate(_Part):
    """A mean over `n` seeds; what one seed cannot tell is None."""

    n: int
    mean: Number | None
    sd: Number | None
    low: Number | None
    high: Number | None


class Cell(_Part):
    """A task, strategy and budget: its cost and its metrics; none if no seed finished."""

    task: str
    strategy: str
    budget: Number
    tuner: str
    trainable_parameters: int
    peak_parameters: int
    head_parameters: int
    learning_rate: float
    tuned: bool
    n: int
    failed: Annotated[tuple[Failure, ...], EMPTY_AS_NULL]
    metrics: dict[str, Estimate]


class Comparison(_Part):
    """A cell less another, paired by seed; `gain` is the difference signed so that more is better.

    Attributes:
        p: Of the exact sign-flip permutation test over seeds; `p_holm` after Holm's correction,
            `p_floor` the least that so many pairs can give.
        t_p: Of the paired t test; `t_p_holm` after Holm's correction.
        rows_low: Lower end of the bootstrap interval over rows and seeds; `rows_high` its upper.
        detectable: The smallest true difference that so many pairs would mostly find.
    """

    task: str
    cell: str
    against: str
    strategy: str
    budget: Number
    role: Literal["reference", "control"]
    metric: str
    n: int
    difference: Number | None
    low: Number | None
    high: Number | None
    p: Number | None
    p_holm: Number | None
    p_floor: Number | None
    t_p: Number | None
    t_p_holm: Number | None
    rows_low: Number | None
    rows_high: Number | None
    detectable: Number | None
    gain: Number | None
    verdict: Verdict
    sentence: str


class Summary(_Part):
    """One task's part of the study on one split, by its headline metric.

    Attributes:
        task: The task's name.
        type: Its type.
        cells: By the plan's name, `uniform-4`.
        comparisons: Between these cells, named likewise.
    """

    task: str
    type: str
    headline: str
    better: Literal["higher", "lower"]
    reference: str
    split: str
    confidence: float
    seeds: tuple[int, ...]
    verdict: str
    cells: dict[str, Cell]
    comparisons: Annotated[tuple[Comparison, ...], EMPTY_AS_NULL]
    notes: Annotated[tuple[str, ...], EMPTY_AS_NULL]
    costs: Annotated[tuple[str, ...], EMPTY_AS_NULL]

    def against_reference(self, cell: str) -> Comparison | None:
        """Find a cell's comparison with the reference; the reference itself has none."""
        found = (c for c in self.comparisons if c.cell == cell and c.role == "reference")
        return next(found, None)


class TaskResult(_Part):
    """What the whole study's summary says of one task beside its cells and comparisons."""

    type: str
    headline: str
    better: Literal["higher", "lower"]
    verdict: str
    notes: Annotated[tuple[str, ...], EMPTY_AS_NULL]
    costs: Annotated[tuple[str, ...], EMPTY_AS_NULL]


class StudySummary(_Part):
    """metrics/summary.json: the whole study on one split.

    Attributes:
        verdict: What the study shows, in words.
        tasks: By name.
        cells: By full name, `trec/uniform-4`.
        comparisons: Each within one task; its cells are named by their plan.
    """

    reference: str
    split: str
    confidence: float
    seeds: tuple[int, ...]
    verdict: str
    tasks: dict[str, TaskResult]
    cells: dict[str, Cell]
    comparisons: Annotated[tuple[Comparison, ...], EMPTY_AS_NULL]

    def of(self, task: str) -> Summary:
        """Return one task's part."""
        shared = {"reference", "split", "confidence", "seeds"}
        here = {name: cell for name, cell in self.cells.items() if cell.task == task}
        return Summary(
            task=task,
            **{name: getattr(self, name) for name in shared},
            **dict(self.tasks[task]),
            cells={name.removeprefix(f"{task}/"): cell for name, cell in here.items()},
            comparisons=tuple(one for one in self.comparisons if one.task == task),
        )


def read_summary() -> StudySummary:
    """Read the summary.

    Raises:
        InputError: No summary, or one that is not as it should be.
    """
    try:
        return StudySummary.model_validate(read_json(SUMMARY))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise input_error(
            "the summary is not as this version writes it",
            where=f"{SUMMARY}: {'.'.join(map(str, first['loc']))}",
            got=first["msg"],
            expected="the study's tasks, cells, comparisons and verdict",
            remedy="make it again: `dvc repro summarize`",
        ) from None


def ordered(summary: Summary, strategies: Sequence[str], budgets: Sequence[Number]) -> Summary:
    """Put a task's cells in the study's order: by budget, and the reference first."""
    first_named = sorted(strategies, key=lambda name: name != summary.reference)
    named = [plan_name(s, b) for b in sorted(budgets) for s in first_named]
    names = [name for name in named if name in summary.cells]
    names += sorted(summary.cells.keys() - set(names))
    return summary.model_copy(update={"cells": {name: summary.cells[name] for name in names}})
