"""All that metrics/summary.json holds: every task's cells and comparisons, and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from adarank.comparison.across_tasks.table import TaskMetric
from adarank.comparison.cells import Comparison, corrected, measured_on_test
from adarank.comparison.verdict import sentence, verdict
from adarank.pipeline.params.study import StudySection
from adarank.pipeline.summarizing.across import summarize_across
from adarank.pipeline.summarizing.task import compare_task, controls_of

CONFIDENCE = 0.95

COSTS = ("trainable_parameters", "peak_parameters")
_FACTS = ("task", "strategy", "budget", "tuner", *COSTS, "head_parameters", "learning_rate")

Cell = dict[str, Any]


def summary(by_task: Mapping[str, Sequence[Cell]], study: StudySection) -> dict[str, Any]:
    """Summarize the test split: every cell, every comparison, what they show.

    Args:
        by_task: The study's cells, as evaluation wrote them, by task.
        study: What is compared with what.
    """
    parts = {task: compare_task(task, cells, study) for task, cells in by_task.items()}
    # One family over all tasks: the more one looks at, the more is found by chance.
    found = corrected([one for part in parts.values() for one in part.comparisons])
    tasks = {
        task: part.summary(study, [one for one in found if one.task == task])
        for task, part in parts.items()
    }
    verdicts = [part["verdict"] for part in tasks.values()]
    across: dict[str, Any] | None = None
    if len(parts) > 1:
        across = summarize_across(
            {task: part.cells for task, part in parts.items()},
            {task: TaskMetric(part.headline, part.better) for task, part in parts.items()},
            reference=study.reference,
            controls=controls_of(study),
            seeds=study.seeds,
        )
        named = [f"{task}: {part['verdict']}" for task, part in tasks.items()]
        verdicts = [across.pop("verdict"), *named]
    return {
        "reference": study.reference,
        "split": "test",
        "confidence": CONFIDENCE,
        "seeds": study.seeds,
        "verdict": " ".join(filter(None, verdicts)),
        "tasks": tasks,
        "cells": {cell["cell"]: _cell(cell) for cells in by_task.values() for cell in cells},
        "comparisons": [{"task": one.task, **_comparison(one)} for one in found],
        "across": across,
        "reused": (len(study.tasks) - 1) * len(study.signals),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    found = measured_on_test(cell)
    return {
        "plan": cell["cell"].removeprefix(f"{cell['task']}/"),
        **{key: cell[key] for key in _FACTS},
        "tuned": bool(cell["tuned"]),
        "n": len({row["seed"] for row in cell["seeds"]}),
        "failed": cell["failed"],
        "metrics": {name: asdict(one) for name, one in found.items()},
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    cell, against = one.pair.names
    low, high = one.rows or (None, None)
    return {
        "cell": cell,
        "against": against,
        "strategy": one.pair.cell["strategy"],
        "budget": one.pair.cell["budget"],
        "role": one.pair.role,
        "family": one.pair.family,
        "family_size": one.family_size,
        "metric": one.metric,
        "n": one.n,
        "difference": one.difference,
        "low": one.low,
        "high": one.high,
        "p": one.p,
        "p_floor": one.p_floor,
        "t_p": one.t_p,
        "t_p_holm": one.t_p_holm,
        "rows_low": low,
        "rows_high": high,
        "detectable": one.detectable,
        "gain": one.gain,
        "margin": one.margin,
        "equivalence_p": one.equivalence_p,
        "equivalence_p_holm": one.equivalence_p_holm,
        "verdict": verdict(one),
        "sentence": sentence(one),
    }
