"""Compare strategies over all tasks of a study.

A study's tasks are fixed: the interval says how well the mean over these tasks is known, and
nothing of tasks that were not tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from adarank.comparison.across_tasks.gains import MeanGain, TaskGain, mean_gain, task_gain
from adarank.comparison.across_tasks.table import Averaged, TaskMetric, averaged
from adarank.comparison.pairs import Controls, Family, Pair, pairs
from adarank.comparison.significance import detectable_at, holm, paired

_Runs = Mapping[tuple[str, str, float], Mapping[int, float]]
"""Values by seed, by task, strategy and budget."""


@dataclass(frozen=True)
class AcrossTasks:
    """The mean gain of one cell over another over all tasks.

    Attributes:
        cell: The cell's name.
        against: The other's.
        strategy: The cell's strategy.
        budget: Both cells' budget.
        family: primary (against the reference), secondary (against the own control), or None for
            a control beside the reference, which is not tested.
        unit: `points` (hundredths of a bounded metric), or the metric that all tasks share.
        tasks: The gain on each task that is averaged, in that unit.
        left_out: Tasks whose metric has another unit, in words.
        missing: Seeds that are missing, in words; with any, nothing is concluded.
        mean: The mean over tasks; None where a task has no pair.
        t_p_holm: The t test's p, corrected for its family across tasks; None outside a family.
        detectable: Smallest true gain found with 80 % power after the correction.
        family_size: How many comparisons are corrected for together; 0 outside a family.
    """

    cell: str
    against: str
    strategy: str
    budget: float
    family: Family | None
    unit: str
    tasks: tuple[TaskGain, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]
    mean: MeanGain | None
    t_p_holm: float | None = None
    detectable: float | None = None
    family_size: int = 0


def across_tasks(
    values: pd.DataFrame,
    metrics: Mapping[str, TaskMetric],
    *,
    reference: str,
    controls: Controls,
    seeds: Sequence[int],
) -> list[AcrossTasks]:
    """Compare strategies over several tasks, and correct each family by Holm's procedure.

    These families are apart from those of the verdicts per task (`cells.corrected`): one answers
    whether a strategy helps on average, the other on which task it helps.

    Args:
        values: One row per run: task, strategy, budget, seed, value (test's headline metric in
            its own unit).
        metrics: Each task's headline metric.
        reference: The strategy that all others are compared with, at each budget.
        controls: Which strategies are controls, and of what.
        seeds: The seeds that every cell should have been trained with.

    Returns:
        One comparison per pair of cells, as `pairs` orders them; empty where fewer than two tasks
        share a unit.
    """
    shared = averaged(metrics)
    if len(shared.tasks) < 2:
        return []
    runs: dict[tuple[str, str, float], dict[int, float]] = {}
    columns = [values[name].tolist() for name in ("task", "strategy", "budget", "seed", "value")]
    for task, strategy, budget, seed, value in zip(*columns, strict=True):
        runs.setdefault((task, strategy, budget), {})[seed] = value
    cells: list[dict[str, Any]] = [
        {"cell": f"{strategy}-{budget:g}", "strategy": strategy, "budget": budget}
        for strategy, budget in dict.fromkeys((s, b) for _, s, b in runs)
    ]
    compared = pairs(cells, reference=reference, controls=controls)
    return _corrected([_compared(pair, runs, shared, seeds) for pair in compared])


def _compared(pair: Pair, runs: _Runs, shared: Averaged, seeds: Sequence[int]) -> AcrossTasks:
    gains: list[TaskGain] = []
    missing: list[str] = []
    for task, metric in shared.tasks.items():
        first, second = (
            runs.get((task, cell["strategy"], cell["budget"]), {})
            for cell in (pair.cell, pair.against)
        )
        for name, run in zip(pair.names, (first, second), strict=True):
            lost = [str(seed) for seed in seeds if seed not in run]
            missing += [f"{name} lacks seed {', '.join(lost)} on {task}"] if lost else []
        sign = metric.scale * (1 if metric.better == "higher" else -1)
        each = [sign * difference for difference in paired(first, second).differences]
        gains += [task_gain(task, each)] if each else []
    return AcrossTasks(
        cell=pair.names[0],
        against=pair.names[1],
        strategy=pair.cell["strategy"],
        budget=pair.cell["budget"],
        family=pair.family,
        unit=shared.unit,
        tasks=tuple(gains),
        left_out=shared.left_out,
        missing=tuple(missing),
        # A mean over fewer tasks would answer another question.
        mean=mean_gain(gains) if len(gains) == len(shared.tasks) else None,
    )


def _corrected(found: Sequence[AcrossTasks]) -> list[AcrossTasks]:
    result = list(found)
    for family in ("primary", "secondary"):
        tested = {
            at: one.mean
            for at, one in enumerate(found)
            if one.family == family and one.mean is not None and one.mean.t_p is not None
        }
        ps = holm([mean.t_p or 0.0 for mean in tested.values()])
        for (at, mean), p in zip(tested.items(), ps, strict=True):
            known = mean.error is not None and mean.df is not None
            least = (
                detectable_at(mean.error or 0.0, mean.df or 1.0, family=len(ps)) if known else None
            )
            result[at] = replace(result[at], t_p_holm=p, detectable=least, family_size=len(ps))
    return result
