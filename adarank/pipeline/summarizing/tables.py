"""What Git and DVC's figures show of a summary: headline means, tables, rounded numbers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from adarank.pipeline.summarizing.study import COSTS

DIGITS = 6


def headline_metrics(summary: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Select what DVC's tables show: by task, each cell's headline mean and its difference.

    Args:
        summary: What summary.json holds. A cell of which every seed failed is left out.
    """
    reference = summary["reference"]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for task, part in summary["tasks"].items():
        headline = part["headline"]
        cells = {c["plan"]: c for c in summary["cells"].values() if c["task"] == task}
        means = {name: cell["metrics"].get(headline) for name, cell in cells.items()}
        less = {
            one["cell"]: one["difference"]
            for one in summary["comparisons"]
            if one["task"] == task and one["role"] == "reference" and one["difference"] is not None
        }
        found[task] = {
            headline: {name: mean["mean"] for name, mean in means.items() if mean},
            f"less_{reference}": less,
        }
    return found


def with_tasks(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put the tasks' tables below one another, with the task's name as the first column."""
    named = [table.assign(task=task) for task, table in tables.items()]
    together = pd.concat(named, ignore_index=True)
    return pd.DataFrame(together[["task", *together.columns.drop("task")]])


def frontier(test: pd.DataFrame, headline: str) -> pd.DataFrame:
    """Select the headline metric against parameters: a row a cell, for DVC's figures."""
    mean, less = ["mean", "low", "high"], ["difference", "difference_low", "difference_high"]
    columns = ["strategy", "budget", *COSTS, "n", "metric", *mean, *less]
    return pd.DataFrame(test[test["metric"] == headline], columns=columns)


def rounded(value: Any) -> Any:
    """Round all floats in a value to six significant digits."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{round(value, 12):.{DIGITS}g}") if isinstance(value, float) else value
