"""Records of cells, as evaluation writes them, and comparisons of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from adarank.comparison.cells import Comparison, Interval, comparisons, pairs


def cell(
    strategy: str,
    values: Sequence[float | None],
    *,
    metric: str = "accuracy",
    budget: float = 4.0,
    parameters: int = 1000,
    tuner: str = "lora",
    failed: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """A cell with a test value a seed; the seeds of `failed` have none."""
    errors = failed or {}
    rows = [
        {"seed": seed, "split": "test", "n": 100, "headline": value, metric: value}
        for seed, value in enumerate(values)
        if seed not in errors
    ]
    return {
        "cell": f"{strategy}-{budget:g}",
        "strategy": strategy,
        "budget": budget,
        "tuner": tuner,
        "trainable_parameters": parameters,
        "peak_parameters": parameters,
        "seeds": rows,
        "failed": [{"seed": seed, "error": error} for seed, error in errors.items()],
    }


def compared(
    *cells: dict[str, Any],
    reference: str = "uniform",
    metric: str = "accuracy",
    better: str = "higher",
    rows: Mapping[tuple[str, str], Interval] | None = None,
    seeds: int = 5,
) -> list[Comparison]:
    """Every comparison of some cells."""
    return comparisons(
        pairs(cells, reference=reference),
        metric=metric,
        better=better,
        seeds=range(seeds),
        rows=rows or {},
    )
