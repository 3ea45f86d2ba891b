"""The section tasks of params.yaml: every task by its name, and what differs for it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, RootModel, field_validator

from adarank.errors import InputError, Problem, input_error
from adarank.pipeline.datasets.keys import section_named
from adarank.pipeline.datasets.section import DatasetSection
from adarank.pipeline.params.evaluate import EvaluateSection
from adarank.pipeline.params.finetune import FinetuneSection
from adarank.pipeline.params.loader import Section
from adarank.pipeline.params.overrides import overridden, overrides_of
from adarank.tasks.options import Options

TaskName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

NOT_TASKS = (
    "merged",
    "model",
)
"""Names that artifacts have already: data/scores/model holds the scores that need no task."""

if TYPE_CHECKING:
    FinetuneOverrides = Section
    EvaluateOverrides = Section
else:
    FinetuneOverrides = overrides_of(FinetuneSection)
    EvaluateOverrides = overrides_of(EvaluateSection)


class TaskSection(DatasetSection):
    """One task: its data, how it is learned and measured, and what differs from other tasks."""

    hidden: int | None = Field(
        default=None,
        ge=1,
        le=2**16,
        description="classification, regression: width of a GELU layer before the last one, 768 "
        "as published; null for none",
    )
    loss: Literal["mse", "mae"] = Field(
        default="mse", description="regression: squared or absolute error"
    )
    loss_on: Literal["all", "response"] = Field(
        default="all",
        description="causal_lm: learn from all tokens, or from the response's only",
    )
    packing: bool = Field(
        default=False,
        description="causal_lm: fill sequences of finetune.max_length with several rows",
    )
    max_new_tokens: int = Field(default=16, ge=1, description="seq2seq: tokens written at most")
    positive: str | None = Field(
        default=None,
        description="seq2seq: the label whose F1 is reported beside macro-F1; null for the last",
    )
    finetune: FinetuneOverrides = Field(
        default=FinetuneOverrides(), description="this task's own values of keys of finetune"
    )
    evaluate: EvaluateOverrides = Field(
        default=EvaluateOverrides(), description="this task's own values of keys of evaluate"
    )

    @property
    def options(self) -> Options:
        """How the task is learned and measured."""
        return Options(
            self.hidden, self.loss, self.loss_on, self.packing, self.max_new_tokens, self.positive
        )


class TasksSection(RootModel[dict[TaskName, TaskSection]]):
    """Tasks by name."""

    model_config = Section.model_config | {"extra": None}

    @field_validator("root")
    @classmethod
    def _free_names(cls, tasks: dict[str, TaskSection]) -> dict[str, TaskSection]:
        taken = [name for name in tasks if name in NOT_TASKS]
        if taken:
            raise ValueError(f"{', '.join(taken)} is the name of something else; choose another")
        return tasks

    def contradictions(self) -> list[Problem]:
        """List what the keys of each task say against each other."""
        problems: list[Problem] = []
        for name, task in self.root.items():
            with section_named(f"tasks.{name}"):
                problems += task.contradictions()
        return problems

    def find(self, name: str) -> TaskSection:
        """Return the task of a name.

        Raises:
            InputError: There is none.
        """
        if name in self.root:
            return self.root[name]
        raise input_error(
            "no such task",
            where="tasks",
            got=name,
            expected=f"one of: {', '.join(self.root) or 'none is defined'}",
            remedy=f"define tasks.{name}, or take it out of study.tasks",
        )


def finetune_of(section: FinetuneSection, task: TaskSection) -> FinetuneSection:
    """Return the finetune section with a task's own values in place."""
    return overridden(section, task.finetune)


def evaluate_of(section: EvaluateSection, task: TaskSection) -> EvaluateSection:
    """Return the evaluate section with a task's own values in place."""
    return overridden(section, task.evaluate)


@contextmanager
def task_named(name: str) -> Iterator[None]:
    """Make errors about a dataset's keys name those of the task at hand."""
    try:
        with section_named(f"tasks.{name}"):
            yield
    except InputError as error:
        raise InputError(*(renamed(problem, name) for problem in error.problems)) from None


_KEYS = re.compile(rf"\b(?:dataset|task)\.(?=(?:{'|'.join(TaskSection.model_fields)})\b)")


def renamed(problem: Problem, name: str) -> Problem:
    """Name a task's keys as params.yaml has them: tasks.NAME.KEY for dataset.KEY or task.KEY."""
    return replace(
        problem,
        **{
            field: _KEYS.sub(f"tasks.{name}.", getattr(problem, field))
            for field in ("what", "where", "expected", "remedy")
        },
    )
