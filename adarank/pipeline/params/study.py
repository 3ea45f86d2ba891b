"""The study: which strategies, at which budgets, over which seeds; and its cells' names."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from adarank.pipeline.params.loader import Section


def distinct(values: Sequence[object]) -> Sequence[object]:
    """Return the values, each of which must occur once; ValueError names those that do not."""
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"each value once; given more than once: {', '.join(map(str, twice))}")
    return values


def _plain(values: Sequence[float]) -> Sequence[float]:
    """Refuse a number that no file can be named by as it is: 1e-07."""
    odd = [f"{value}" for value in values if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", f"{value}")]
    if odd:
        raise ValueError(f"plain digits, such as 4 or 0.5; not {', '.join(odd)}")
    return values


Names = Annotated[list[str], AfterValidator(distinct)]
Strategies = Annotated[Names, Field(min_length=1)]
Budgets = Annotated[
    list[Annotated[int | float, Field(gt=0)]],
    Field(min_length=1),
    AfterValidator(distinct),
    AfterValidator(_plain),
]
Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1), AfterValidator(distinct)
]


class StudySection(Section):
    """What is compared with what, on which tasks."""

    tasks: Annotated[Names, Field(min_length=1)] = Field(
        description="the tasks that are learned, by their names in the section tasks"
    )
    signals: Names = Field(
        description="scored once, for all tasks: disagreement, linearized, as_published, "
        "stable_rank, learned_order"
    )
    task_signals: Names = Field(
        description="scored for each task, on rows of its train split: task_disagreement, "
        "weight_gradient, fisher, gradient_spectrum, activation_variance, and for starts "
        "gradient_directions, input_directions"
    )
    strategies: Strategies = Field(
        description="ways to share ranks out; those by a signal need it in one of the two above"
    )
    reference: str = Field(description="the strategy that all others are compared with")
    budgets: Budgets = Field(description="average ranks; each means uniform's parameters at it")
    seeds: Seeds = Field(description="every cell is trained once with each")
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="the largest difference from the reference that does not matter, in the "
        "headline metric's unit (0.005: half a point of accuracy), set before the results are "
        "known; cells are then tested for being equivalent to it. null: no such test",
    )
    merge: Names = Field(
        default=[],
        description="ways to merge the tasks' adapters into one model: merging methods, or names "
        "that merge.methods defines; must be written, [] for none",
    )


def plan_name(strategy: str, budget: float | str) -> str:
    """Name a plan as its folder is named: `uniform-4`, `reversed-0.5`."""
    return f"{strategy}-{budget}"


def cell_name(task: str, strategy: str, budget: float | str) -> str:
    """Name a cell as its files are named: `trec/uniform-4`."""
    return f"{task}/{plan_name(strategy, budget)}"
