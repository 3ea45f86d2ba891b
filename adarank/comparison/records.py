"""What a cell's record holds: values by seed, and the seeds that are missing."""

from collections.abc import Mapping, Sequence
from typing import Any

Cell = Mapping[str, Any]
"""An evaluation record: cell, strategy, budget, tuner, parameters, seeds, and failed if any.

`seeds` is a list of rows {seed, split, n, headline, METRIC: number or None ...}; `failed` lists
{seed, error}.
"""

_NOT_METRICS = ("seed", "split", "n", "headline")


def values_by_seed(cell: Cell, split: str, metric: str) -> dict[int, float]:
    """Return a metric's value for each seed that has one."""
    rows = [row for row in cell["seeds"] if row["split"] == split]
    return {row["seed"]: row[metric] for row in rows if row.get(metric) is not None}


def measured(cell: Cell) -> list[tuple[str, str]]:
    """List the (split, metric) combinations for which at least one seed has a value."""
    pairs: dict[tuple[str, str], None] = {}
    for row in cell["seeds"]:
        for metric, value in row.items():
            if metric not in _NOT_METRICS and value is not None:
                pairs[row["split"], metric] = None
    return list(pairs)


def errors_by_seed(cell: Cell) -> dict[int, str]:
    """Return the error of each seed that failed."""
    return {failure["seed"]: failure["error"] for failure in cell.get("failed") or ()}


def missing_values(cell: Cell, seeds: Sequence[int], metric: str) -> list[str]:
    """Explain for each planned seed without a test value of a metric why it has none.

    Args:
        cell: A cell's record.
        seeds: The seeds that it should have been trained with.
        metric: The metric that is compared.
    """
    errors, present = errors_by_seed(cell), values_by_seed(cell, "test", metric)
    return [
        f"seed {seed} failed ({errors[seed]})" if seed in errors else f"seed {seed} has no {metric}"
        for seed in seeds
        if seed not in present
    ]
