"""The study: which strategies, at which budgets, over which seeds; and its cells' names."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from stages.params import Section


def _distinct(values: Sequence[object]) -> Sequence[object]:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"each value once; given more than once: {', '.join(map(str, twice))}")
    return values


Strategies = Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
Budgets = Annotated[
    list[Annotated[int | float, Field(gt=0, allow_inf_nan=False)]],
    Field(min_length=1),
    AfterValidator(_distinct),
]
Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1), AfterValidator(_distinct)
]


class Study(Section):
    """What is compared with what."""

    strategies: Strategies = Field(
        description="ways to share ranks out: uniform, disagreement, reversed, permuted"
    )
    budgets: Budgets = Field(description="average ranks; each means uniform's parameters at it")
    seeds: Seeds = Field(description="every cell is trained once with each")


def cell_name(strategy: str, budget: float | str) -> str:
    """Name a cell as its files and DVC stages are named: `uniform-4`, `reversed-0.5`."""
    return f"{strategy}-{budget}"
