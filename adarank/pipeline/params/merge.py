"""The section merge of params.yaml: whose adapters are merged, and how."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, RootModel, field_validator

from adarank.pipeline.params.loader import Section
from adarank.pipeline.params.study import Names, Seeds, distinct

Number = Annotated[int | float, Field(allow_inf_nan=False)]
Grid = Annotated[list[Number], Field(min_length=1), AfterValidator(distinct)]


class Definition(RootModel[dict[str, str | Number | list[Number]]]):
    """A merge that the user names: `method`, and its parameters that differ from their defaults."""

    @field_validator("root")
    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(values.get("method", ""), str):
            raise ValueError("method is the name of a merging method")
        return values

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything but the method's name."""
        return {name: value for name, value in self.root.items() if name != "method"}


class MergeSection(Section):
    """Which adapters are merged, how lambda is chosen, and how learned methods learn."""

    strategy: str = Field(description="the members: adapters of this one of study.strategies")
    budget: Annotated[int | float, Field(gt=0)] = Field(
        description="the members' budget, one of study.budgets"
    )
    tasks: Names | None = Field(
        default=None, description="tasks whose adapters are merged; null for all of study.tasks"
    )
    seeds: Seeds | None = Field(
        default=None,
        description="a merge a seed, of the members of this seed; null for study.seeds",
    )
    methods: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Definition] = Field(
        default={},
        description="merges under your own names: {method: NAME, PARAMETER: VALUE}; a list for "
        "the parameter that is chosen on validation, as docs/merging.md has them",
    )
    scaling: Grid = Field(
        default=[0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0],
        description="lambda: of these, the one of the best mean over the tasks on validation; "
        "methods that choose none have none",
    )
    validation_rows: int | None = Field(
        default=200, ge=1, description="validation rows of each task to choose by; null for all"
    )
    rank: Annotated[int | float, Field(gt=0)] | None = Field(
        default=None,
        description="every merge as one LoRA adapter of this average rank; null: not truncated",
    )
    steps: int = Field(default=500, ge=1, description="learned methods: steps at most")
    batch_size: int = Field(default=16, ge=1, description="learned: rows of each task a step")
    rate: float = Field(default=1e-3, gt=0, description="learned: Adam's rate")
    rows: int | None = Field(
        default=None,
        ge=2,
        description="learned: unlabelled rows of each task, a sample; null for all",
    )
    held_back: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="learned: share of these rows that decides which step is kept",
    )
    check_every: int = Field(default=25, ge=1, description="learned: steps between such looks")
    patience: int = Field(
        default=4, ge=0, description="learned: looks without a better one that end it; 0: never"
    )
    transductive: bool = Field(
        default=False,
        description="learned methods read test's rows, without labels, instead of train's: the "
        "results then are no test of new rows, and every table says so",
    )
