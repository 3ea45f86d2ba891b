"""What the stages merge and evaluate_merged read of params.yaml, and the tasks that they make."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from pydantic import Field

from adarank.pipeline.artifacts.model import load_tokenizer
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.artifacts.remote_code import register_code
from adarank.pipeline.artifacts.task import read_description
from adarank.pipeline.params.evaluate import EvaluateSection
from adarank.pipeline.params.finetune import FinetuneSection
from adarank.pipeline.params.loader import Slice
from adarank.pipeline.params.merge import MergeSection
from adarank.pipeline.params.model import ModelSection
from adarank.pipeline.params.study import Names, Seeds
from adarank.pipeline.params.tasks import TasksSection, evaluate_of, finetune_of, task_named
from adarank.tasks.base import Task
from adarank.tasks.registry import make_task

Method = Annotated[str, typer.Option("--method", help="The merge, as study.merge has it.")]


class StudyMembers(Slice):
    """What a merge reads of the study."""

    tasks: Names = Field(description="all of them are merged unless merge.tasks names some")
    seeds: Seeds = Field(description="a merge each unless merge.seeds names some")


class MergeParams(Slice):
    """What the stages read."""

    study: StudyMembers
    tasks: TasksSection
    merge: MergeSection
    finetune: FinetuneSection
    evaluate: EvaluateSection
    model: ModelSection

    @property
    def merged_tasks(self) -> list[str]:
        """The tasks whose adapters are merged."""
        return self.merge.tasks or self.study.tasks

    @property
    def seeds(self) -> list[int]:
        """The seeds whose adapters are merged."""
        return self.merge.seeds or self.study.seeds


def read_tasks(params: MergeParams) -> dict[str, Task]:
    """Make every merged task, by name; its data must be there."""
    register_code(MODEL, trusted=params.model.trust_remote_code)
    tokenizer = load_tokenizer(MODEL)
    tasks: dict[str, Task] = {}
    for name in params.merged_tasks:
        about = params.tasks.find(name)
        length = finetune_of(params.finetune, about).max_length
        with task_named(name):
            tasks[name] = make_task(read_description(name), tokenizer, length, about.options)
    return tasks


def how_read(params: MergeParams) -> dict[str, Any]:
    """What decides how rows become batches and results, by task, as JSON can hold it."""
    abouts = {name: params.tasks.find(name) for name in params.merged_tasks}
    return {
        name: asdict(about.options) | {"length": finetune_of(params.finetune, about).max_length}
        for name, about in abouts.items()
    }


def batch_sizes(params: MergeParams) -> dict[str, int]:
    """Return each merged task's rows a forward, with its own value where it has one."""
    abouts = {name: params.tasks.find(name) for name in params.merged_tasks}
    return {name: evaluate_of(params.evaluate, one).batch_size for name, one in abouts.items()}
