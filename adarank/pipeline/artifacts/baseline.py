"""The constant answer that a task's results are compared with."""

from typing import Literal

from adarank.comparison.baseline import Baseline, commonest_label, mean_answer
from adarank.pipeline.artifacts.task import read_description, read_split
from adarank.tasks.catalogue import TASKS


def read_baseline(task: str, split: Literal["validation", "test"]) -> Baseline | None:
    """Compute the metrics of train's commonest answer, or its mean, on another split.

    Returns:
        The baseline; None for a task that continues texts, which has no constant answer.
    """
    rows = TASKS[read_description(task)["type"]].rows
    if rows == "texts":
        return None
    column = "label" if rows == "labels" else "target"
    train, measured = read_split(task, "train")[column], read_split(task, split)[column]
    if rows == "numbers":
        return mean_answer(train.to_numpy(), measured.to_numpy())
    answer = "the commonest label" if rows == "labels" else "the commonest answer"
    return commonest_label(train.tolist(), measured.tolist(), answer)
