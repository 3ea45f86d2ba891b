"""Records of cells, as evaluation writes them, and comparisons of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adarank.allocation.strategies.controls import form, meaning, original
from adarank.comparison.cells import Comparison, Interval, comparisons, corrected
from adarank.comparison.pairs import Control, pairs


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
    """Every comparison of some cells, corrected."""
    found = comparisons(
        pairs(cells, reference=reference, controls=controls_among(c["strategy"] for c in cells)),
        metric=metric,
        better=better,
        seeds=range(seeds),
        rows=rows or {},
    )
    return corrected(found)


def controls_among(strategies: Iterable[str]) -> dict[str, Control]:
    """The controls among some strategies, by the names that allocation knows them by."""
    of = {name: original(name) for name in strategies}
    return {name: Control(o, form(name), meaning(name)) for name, o in of.items() if o is not None}
