"""The summary's part across tasks: the table of means, and the comparisons of their averages."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from adarank.comparison.across_tasks.comparing import AcrossTasks, across_tasks
from adarank.comparison.across_tasks.table import TaskMetric, task_table
from adarank.comparison.across_tasks.verdict import across_sentence, across_study, across_verdict
from adarank.comparison.pairs import Controls

Cell = Mapping[str, Any]


def summarize_across(
    cells: Mapping[str, Sequence[Cell]],
    metrics: Mapping[str, TaskMetric],
    *,
    reference: str,
    controls: Controls,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Compare strategies over all tasks, and lay out their means side by side.

    Args:
        cells: The records of each task's cells.
        metrics: Each task's headline metric.
        reference: The strategy that all others are compared with.
        controls: Which strategies are controls, and of what.
        seeds: The seeds that every cell should have been trained with.

    Returns:
        verdict (in words), table (a row a strategy and budget) and compared, as the summary has
        them.
    """
    rows = [
        (task, cell["strategy"], cell["budget"], row["seed"], row["headline"])
        for task, of_task in cells.items()
        for cell in of_task
        for row in cell["seeds"]
        if row["split"] == "test" and row["headline"] is not None
    ]
    values = pd.DataFrame(rows, columns=["task", "strategy", "budget", "seed", "value"])
    found = across_tasks(values, metrics, reference=reference, controls=controls, seeds=seeds)
    return {
        "verdict": across_study(found, reference),
        "table": _means(task_table(values, metrics), list(metrics)),
        "compared": [_compared(one) for one in found],
    }


def _means(table: pd.DataFrame, tasks: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for (strategy, budget), row in zip(table.index, table.to_dict("records"), strict=True):
        known = {key: None if pd.isna(value) else value for key, value in row.items()}
        rows.append(
            {
                "plan": f"{strategy}-{budget:g}",
                "strategy": strategy,
                "budget": budget,
                "means": [{"task": task, "value": known[task]} for task in tasks],
                "average": known.get("average"),
            }
        )
    return rows


def _compared(one: AcrossTasks) -> dict[str, Any]:
    mean = one.mean
    return {
        "plan": one.cell,
        "against": one.against,
        "family": one.family,
        "unit": one.unit,
        "tasks": [{"task": t.task, "gain": t.gain, "error": t.error} for t in one.tasks],
        "gain": mean and mean.gain,
        "low": mean and mean.low,
        "high": mean and mean.high,
        "t_p": mean and mean.t_p,
        "t_p_holm": one.t_p_holm,
        "verdict": across_verdict(one),
        "sentence": across_sentence(one),
    }
