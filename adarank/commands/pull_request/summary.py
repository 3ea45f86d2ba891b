"""What the report reads of metrics/summary.json, whichever side it is from."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from adarank.errors import input_error
from adarank.pipeline.files.whole import EMPTY_AS_NULL

SUMMARY = "metrics/summary.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Estimate(_Record):
    """A metric over the seeds of a cell: its mean and interval, in the metric's own unit."""

    n: int
    mean: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class Failure(_Record):
    """A seed that did not finish, and why."""

    seed: int
    error: str


class Cell(_Record):
    """A strategy at a budget: the seeds that finished, those that did not, every metric."""

    n: int
    failed: Annotated[list[Failure], EMPTY_AS_NULL] = []
    metrics: dict[str, Estimate] = {}


class Comparison(_Record):
    """What the study says of a cell against another."""

    task: str = ""
    cell: str
    against: str
    role: str
    metric: str
    verdict: str
    sentence: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same comparison on both sides."""
        return self.cell, self.against, self.role, self.metric


class Summary(_Record):
    """One task's results; its cells by full name, `trec/uniform-4`."""

    headline: str
    better: Literal["higher", "lower"]
    confidence: FiniteFloat = 0.95
    seeds: Annotated[list[int], EMPTY_AS_NULL] = []
    cells: dict[str, Cell]
    comparisons: Annotated[list[Comparison], EMPTY_AS_NULL] = []


class TaskPart(_Record):
    """What a study says of one task."""

    headline: str
    better: Literal["higher", "lower"]


class Study(_Record):
    """A study's results, as metrics/summary.json has them."""

    confidence: FiniteFloat = 0.95
    seeds: Annotated[list[int], EMPTY_AS_NULL] = []
    tasks: dict[str, TaskPart]
    cells: dict[str, Cell]
    comparisons: Annotated[list[Comparison], EMPTY_AS_NULL] = []

    def of(self, task: str) -> Summary | None:
        """Return one task's results; None where the study has no such task."""
        if task not in self.tasks:
            return None
        named = [
            one.model_copy(
                update={key: f"{task}/{getattr(one, key)}" for key in ("cell", "against")}
            )
            for one in self.comparisons
            if one.task == task
        ]
        return Summary(
            headline=self.tasks[task].headline,
            better=self.tasks[task].better,
            confidence=self.confidence,
            seeds=self.seeds,
            cells={name: c for name, c in self.cells.items() if name.startswith(f"{task}/")},
            comparisons=named,
        )


def parsed(text: str, side: str) -> Study:
    """Read a summary; InputError if it is none, or of a form that has no such cells."""
    try:
        return Study.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise input_error(
            "not a summary that can be read",
            where=f"{SUMMARY} {side}",
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            remedy="`dvc repro` writes it again",
        ) from None
