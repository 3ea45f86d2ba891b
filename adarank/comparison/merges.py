"""Merges side by side: means over tasks, shares of the members' own scores, and paired differences.

One merged model answers for all tasks of a seed, so its results on them are not independent. What
is compared is therefore each seed's mean over the tasks, and the pairs are the seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adarank.comparison.across_tasks.table import TaskMetric, averaged
from adarank.comparison.cells import Comparison, comparisons, corrected
from adarank.comparison.pairs import pairs
from adarank.comparison.significance import Estimate, estimate

Values = Mapping[int, float]
"""A metric by seed."""


@dataclass(frozen=True)
class MergedTask:
    """One task of a merge: its mean over the seeds, and its mean share of the member's own.

    Attributes:
        value: The headline metric; None where no seed has it.
        normalised: Mean over seeds of merged / own (own / merged where lower is better); None
            where a score is not positive, so that a share of it means nothing.
    """

    value: float | None
    normalised: float | None


@dataclass(frozen=True)
class MergeResult:
    """One merge over all of its tasks; every estimate is over the seeds.

    Attributes:
        name: The merge.
        tasks: By task.
        mean: Mean over the tasks; None where they share no unit or no seed is complete.
        normalised: Mean over the tasks of merged / own.
        gap: Mean over the tasks of merged less own, signed so that below zero is worse.
        by_seed: Each complete seed's mean over the tasks.
        errors: What failed, by seed.
    """

    name: str
    tasks: Mapping[str, MergedTask]
    mean: Estimate | None
    normalised: Estimate | None
    gap: Estimate | None
    by_seed: Values
    errors: Mapping[int, str]


def mean_metric(metrics: Mapping[str, TaskMetric]) -> str | None:
    """Name what a mean over the tasks is a mean of; None where they share no unit.

    Example:
        >>> mean_metric({"a": TaskMetric("accuracy", "higher")})
        'accuracy'
    """
    names = {one.metric for one in metrics.values()}
    if len(names) == 1:
        return next(iter(names))
    return "mean_score" if len(averaged(metrics).tasks) == len(metrics) else None


def merge_result(
    name: str,
    merged: Mapping[str, Values],
    own: Mapping[str, Values],
    metrics: Mapping[str, TaskMetric],
    errors: Mapping[int, str],
) -> MergeResult:
    """Sum up a merge.

    Args:
        name: The merge's.
        merged: By task: its headline metric by seed.
        own: By task: the same of the task's own member.
        metrics: Each task's headline metric, in the order of the tasks.
        errors: Seeds that failed, and why.
    """
    complete = [
        seed
        for seed in sorted(set().union(*(values.keys() for values in merged.values())))
        if all(seed in merged.get(task, {}) for task in metrics)
    ]
    shares = {
        task: _shares(merged.get(task, {}), own.get(task, {}), metrics[task]) for task in metrics
    }
    one_unit = mean_metric(metrics) is not None
    by_seed = {s: _mean([merged[task][s] for task in metrics]) for s in complete if one_unit}
    paired = [s for s in by_seed if all(s in own.get(task, {}) for task in metrics)]
    sign = -1 if any(one.better == "lower" for one in metrics.values()) else 1
    gaps = [sign * (by_seed[s] - _mean([own[task][s] for task in metrics])) for s in paired]
    shared = [s for s in complete if all(s in share for share in shares.values())]
    normalised = [_mean([share[s] for share in shares.values()]) for s in shared]
    return MergeResult(
        name,
        {
            task: MergedTask(
                _mean_or_none(list(merged.get(task, {}).values())),
                _mean_or_none(list(shares[task].values())),
            )
            for task in metrics
        },
        _estimate(list(by_seed.values())),
        _estimate(normalised),
        _estimate(gaps),
        by_seed,
        errors,
    )


def compare_merges(
    results: Sequence[MergeResult],
    metrics: Mapping[str, TaskMetric],
    seeds: Sequence[int],
    *,
    reference: str = "task_arithmetic",
) -> list[Comparison]:
    """Compare every merge with the reference, paired by seed; one Holm family, merges' own.

    Returns:
        In the order of the merges; empty without the reference, or where tasks share no unit.
    """
    metric = mean_metric(metrics)
    if metric is None:
        return []
    better = next(iter(metrics.values())).better
    cells = [_as_cell(result, metric) for result in results]
    compared = pairs(cells, reference=reference, controls={})
    return corrected(comparisons(compared, metric=metric, better=better, seeds=seeds, rows={}))


def _as_cell(result: MergeResult, metric: str) -> dict[str, Any]:
    """A merge in the form in which cells are compared: every merge costs what the others do."""
    return {
        "cell": result.name,
        "strategy": result.name,
        "budget": 0.0,
        "trainable_parameters": 0,
        "peak_parameters": 0,
        "seeds": [
            {"seed": seed, "split": "test", metric: value} for seed, value in result.by_seed.items()
        ],
        "failed": [{"seed": seed, "error": error} for seed, error in result.errors.items()],
    }


def _shares(merged: Values, own: Values, metric: TaskMetric) -> dict[int, float]:
    shares: dict[int, float] = {}
    for seed, value in merged.items():
        reference = own.get(seed, 0.0)
        if value > 0 and reference > 0:
            lower = metric.better == "lower"
            shares[seed] = reference / value if lower else value / reference
        elif value == 0 and reference > 0 and metric.better == "higher":
            shares[seed] = 0.0
    return shares


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _mean_or_none(values: Sequence[float]) -> float | None:
    return _mean(values) if values else None


def _estimate(values: Sequence[float]) -> Estimate | None:
    return estimate(values) if values else None
