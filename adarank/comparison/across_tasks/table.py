"""The means of several tasks side by side, and which of them may be averaged."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from adarank.comparison.wording import in_points


@dataclass(frozen=True)
class TaskMetric:
    """What a task is compared by.

    Attributes:
        metric: The headline metric.
        better: `higher` or `lower`: which way it improves.
    """

    metric: str
    better: str

    @property
    def scale(self) -> float:
        """What a value is multiplied by: bounded metrics are shown in points."""
        return 100.0 if in_points(self.metric) else 1.0


@dataclass(frozen=True)
class Averaged:
    """The tasks that may be averaged.

    Attributes:
        unit: `points` (hundredths of a bounded metric), or the metric that all tasks share.
        tasks: Their metrics, by task.
        left_out: The other tasks, each with its metric, in words.
    """

    unit: str
    tasks: dict[str, TaskMetric]
    left_out: tuple[str, ...]


def averaged(metrics: Mapping[str, TaskMetric]) -> Averaged:
    """Choose the tasks that share a unit: those in points, or else all, if of one metric.

    Accuracy, F1 and correlations are averaged in points, as the tables of GLUE do. A loss in nats
    or an error in a target's own unit is never averaged with them.

    Example:
        >>> found = averaged({"sst2": TaskMetric("accuracy", "higher"),
        ...                   "wiki": TaskMetric("loss", "lower")})
        >>> found.unit, list(found.tasks), found.left_out
        ('points', ['sst2'], ('wiki (loss)',))
    """
    points = {task: one for task, one in metrics.items() if in_points(one.metric)}
    if not points and len({one.metric for one in metrics.values()}) == 1:
        return Averaged(next(iter(metrics.values())).metric, dict(metrics), ())
    left_out = tuple(f"{t} ({one.metric})" for t, one in metrics.items() if t not in points)
    return Averaged("points", points, left_out)


def task_table(values: pd.DataFrame, metrics: Mapping[str, TaskMetric]) -> pd.DataFrame:
    """Lay out the mean over seeds: a row per strategy and budget, a column per task.

    Args:
        values: One row per run: task, strategy, budget, seed, value (in the metric's own unit).
        metrics: Each task's headline metric.

    Returns:
        Bounded metrics in points, others in their own unit. The last column, `average`, is over
        the tasks that share a unit, and NaN where one of them has no value; it is left out where
        fewer than two do.
    """
    scale = pd.Series({task: metric.scale for task, metric in metrics.items()})
    scaled = values.assign(value=values["value"] * scale.loc[values["task"]].to_numpy())
    table = scaled.pivot_table(
        index=["strategy", "budget"], columns="task", values="value", aggfunc="mean", sort=False
    ).reindex(columns=list(metrics))
    tasks = list(averaged(metrics).tasks)
    if len(tasks) > 1:
        table["average"] = table[tasks].mean(axis=1, skipna=False)
    return table
