"""Cells side by side: a mean with its interval each, and what each gains on the baseline.

A cell is the record that evaluation writes: strategy, budget, trainable parameters, and for each
seed and split the metrics. Two cells are compared at one budget only, seed by seed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from adarank.stats import Estimate, Paired, estimate, paired

BASELINE = "uniform"
"""The strategy that all others are measured against."""

Cell = Mapping[str, Any]
Values = dict[object, float]

_NOT_METRICS = ("seed", "split", "n")


def compare(cells: Sequence[Cell]) -> pd.DataFrame:
    """Estimate every metric of every cell, and its paired difference from the baseline.

    Args:
        cells: Records with `cell`, `strategy`, `budget`, `trainable_parameters` and `seeds`, the
            last a list of rows {seed, split, n, METRIC: number or None ...}.

    Returns:
        One row a cell, split and metric: cell, strategy, budget, trainable_parameters, split,
        metric, n, mean, sd, low, high, difference, difference_low, difference_high, pairs. What
        is unknown (one seed; the baseline's own difference) is None.

    Raises:
        RunError: A metric that is not finite.
    """
    baselines = {cell["budget"]: cell for cell in cells if cell["strategy"] == BASELINE}
    rows = [
        _row(cell, baselines.get(cell["budget"]), split, metric)
        for cell in cells
        for split, metric in _measured(cell)
    ]
    return pd.DataFrame(rows, dtype=object)


def caveats(cells: Sequence[Cell], seeds: Sequence[int]) -> list[str]:
    """Say what makes a comparison weaker than it looks; empty when nothing does.

    Args:
        cells: As for `compare`.
        seeds: The seeds that every cell should have been trained with.
    """
    found = [note for cell in cells for note in _missing_seeds(cell, seeds)]
    for budget in dict.fromkeys(cell["budget"] for cell in cells):
        found += _unfair(budget, [cell for cell in cells if cell["budget"] == budget])
    if len(seeds) == 1:
        found.append("one seed: nothing is known of the spread, so there are no intervals")
    return found


def _missing_seeds(cell: Cell, seeds: Sequence[int]) -> list[str]:
    present = {row["seed"] for row in cell["seeds"]}
    missing = [str(seed) for seed in seeds if seed not in present]
    if not missing:
        return []
    rest = f"its mean and its pairs rest on {len(seeds) - len(missing)} of {len(seeds)} seeds"
    return [f"{cell['cell']} lacks seed {', '.join(missing)}: {rest}"]


def _unfair(budget: float, cells: Sequence[Cell]) -> list[str]:
    found: list[str] = []
    counts = {cell["cell"]: cell["trainable_parameters"] for cell in cells}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        found.append(f"budget {budget:g}: NOT EQUAL trainable parameters, so not a test ({each})")
    if all(cell["strategy"] != BASELINE for cell in cells):
        found.append(f"budget {budget:g} has no {BASELINE} cell: no differences are taken there")
    return found


def _row(cell: Cell, baseline: Cell | None, split: str, metric: str) -> dict[str, Any]:
    values = _values(cell, split, metric)
    itself = estimate(list(values.values()))
    against: Paired | None = None
    if baseline is not None and baseline is not cell:
        against = paired(values, _values(baseline, split, metric))
    gain = against.difference if against else None
    return {
        **{key: cell[key] for key in ("cell", "strategy", "budget", "trainable_parameters")},
        "split": split,
        "metric": metric,
        **_named(itself),
        "difference": gain.mean if gain else None,
        "difference_low": gain.low if gain else None,
        "difference_high": gain.high if gain else None,
        "pairs": gain.n if gain else 0,
    }


def _named(itself: Estimate) -> dict[str, Any]:
    return {
        "n": itself.n,
        "mean": itself.mean,
        "sd": itself.sd,
        "low": itself.low,
        "high": itself.high,
    }


def _measured(cell: Cell) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for row in cell["seeds"]:
        for metric, value in row.items():
            if metric not in _NOT_METRICS and value is not None:
                found[row["split"], metric] = None
    return list(found)


def _values(cell: Cell, split: str, metric: str) -> Values:
    rows = [row for row in cell["seeds"] if row["split"] == split]
    return {row["seed"]: row[metric] for row in rows if row.get(metric) is not None}
