"""metrics/summary.json, read strictly: the study's cells, comparisons and verdicts.

An empty list is written as null.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ValidationError

from adarank.errors import input_error
from adarank.pipeline.artifacts.merges import Merges
from adarank.pipeline.artifacts.part import Number, Part, Verdict
from adarank.pipeline.files.whole import EMPTY_AS_NULL, read_json
from adarank.pipeline.params.study import plan_name

SUMMARY = Path("metrics/summary.json")


class Failure(Part):
    """A seed that did not finish, and why."""

    seed: int
    error: str


class Estimate(Part):
    """A mean over `n` seeds; what one seed cannot tell is None."""

    n: int
    mean: Number | None
    sd: Number | None
    low: Number | None
    high: Number | None


class Cell(Part):
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


class Comparison(Part):
    """A cell less another, paired by seed; `gain` is the difference signed so that more is better.

    Attributes:
        family: The tests it is corrected with: primary (against the reference), secondary
            (against the own control); None for a control beside the reference, not tested.
        family_size: How many comparisons that family has; 0 outside of one.
        t_p: p of the paired t test, which decides; `t_p_holm` after Holm's correction.
        p: p of the exact sign-flip test over seeds, shown beside it; `p_floor` the smallest that
            so many pairs can reach.
        rows_low: Lower end of the interval over rows and seeds; `rows_high` its upper.
        detectable: The smallest true difference found with 80 % power after the correction.
        margin: The difference that does not matter, where the study sets one.
        equivalence_p: p of the two one-sided tests for a difference within the margin;
            `equivalence_p_holm` after Holm's correction.
    """

    task: str
    cell: str
    against: str
    strategy: str
    budget: Number
    role: Literal["reference", "control"]
    family: Literal["primary", "secondary"] | None
    family_size: int
    metric: str
    n: int
    difference: Number | None
    low: Number | None
    high: Number | None
    p: Number | None
    p_floor: Number | None
    t_p: Number | None
    t_p_holm: Number | None
    rows_low: Number | None
    rows_high: Number | None
    detectable: Number | None
    margin: Number | None = None
    equivalence_p: Number | None = None
    equivalence_p_holm: Number | None = None
    gain: Number | None
    verdict: Verdict
    sentence: str


class Baseline(Part):
    """What a constant answer measures, and the cells that do not beat it."""

    answer: str
    value: Number
    not_beaten_by: Annotated[tuple[str, ...], EMPTY_AS_NULL]


class Caveat(Part):
    """What weakens the comparisons, by its kind and in a sentence."""

    kind: str
    text: str


class Summary(Part):
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
    baseline: Baseline | None
    verdict: str
    cells: dict[str, Cell]
    comparisons: Annotated[tuple[Comparison, ...], EMPTY_AS_NULL]
    caveats: Annotated[tuple[Caveat, ...], EMPTY_AS_NULL]
    costs: Annotated[tuple[str, ...], EMPTY_AS_NULL]

    def against_reference(self, cell: str) -> Comparison | None:
        """Find a cell's comparison with the reference; the reference itself has none."""
        found = (c for c in self.comparisons if c.cell == cell and c.role == "reference")
        return next(found, None)


class TaskResult(Part):
    """What the whole study's summary says of one task beside its cells and comparisons."""

    type: str
    headline: str
    better: Literal["higher", "lower"]
    baseline: Baseline | None
    verdict: str
    caveats: Annotated[tuple[Caveat, ...], EMPTY_AS_NULL]
    costs: Annotated[tuple[str, ...], EMPTY_AS_NULL]


class TaskMean(Part):
    """A cell's mean on one task, in points where the metric is bounded; None without a seed."""

    task: str
    value: Number | None


class AcrossRow(Part):
    """A strategy at a budget: its mean on every task, and over those that share a unit."""

    plan: str
    strategy: str
    budget: Number
    means: tuple[TaskMean, ...]
    average: Number | None


class TaskDifference(Part):
    """The mean gain of a cell over another on one task, with its standard error."""

    task: str
    gain: Number
    error: Number | None


class AcrossComparison(Part):
    """The mean gain of a cell over another over tasks; positive is better."""

    plan: str
    against: str
    family: Literal["primary", "secondary"] | None
    unit: str
    tasks: tuple[TaskDifference, ...]
    gain: Number | None
    low: Number | None
    high: Number | None
    t_p: Number | None
    t_p_holm: Number | None
    verdict: Verdict
    sentence: str


class Across(Part):
    """All tasks together: the table of means, and the comparisons of their averages."""

    table: Annotated[tuple[AcrossRow, ...], EMPTY_AS_NULL]
    compared: Annotated[tuple[AcrossComparison, ...], EMPTY_AS_NULL]


class StudySummary(Part):
    """metrics/summary.json: the whole study on one split.

    Attributes:
        verdict: What the study shows, in words.
        tasks: By name.
        cells: By full name, `trec/uniform-4`.
        comparisons: Each within one task; its cells are named by their plan.
        across: All tasks together; None in a study of one task.
        merges: What the tasks' adapters merged into one model measure; None without merges.
        reused: How many pairs of a task and a signal were served by scores of the model alone.
    """

    reference: str
    split: str
    confidence: float
    seeds: tuple[int, ...]
    verdict: str
    tasks: dict[str, TaskResult]
    cells: dict[str, Cell]
    comparisons: Annotated[tuple[Comparison, ...], EMPTY_AS_NULL]
    across: Across | None
    merges: Merges | None = None
    reused: int

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
