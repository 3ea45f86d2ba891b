"""Cells side by side: a mean with its interval each, and its difference from the reference.

A cell is the record that evaluation writes: strategy, budget, tuner, parameters, and for each
seed and split the metrics. Two cells are compared at one budget only, seed by seed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from adarank.stats import Estimate, Paired, estimate, paired

Cell = Mapping[str, Any]
Values = dict[object, float]

_NOT_METRICS = ("seed", "split", "n", "headline")
_COPIED = ("cell", "strategy", "budget", "trainable_parameters", "peak_parameters")


def compare(cells: Sequence[Cell], *, reference: str) -> pd.DataFrame:
    """Estimate every metric of every cell, and its paired difference from the reference.

    Args:
        cells: Records with `cell`, `strategy`, `budget`, `trainable_parameters`,
            `peak_parameters` and `seeds`, the last a list of rows {seed, split, n, headline,
            METRIC: number or None ...}.
        reference: The strategy that all others are compared with, at each budget.

    Returns:
        One row a cell, split and metric: cell, strategy, budget, trainable_parameters,
        peak_parameters, split, metric, n, mean, sd, low, high, difference, difference_low,
        difference_high, pairs. What is unknown (one seed; the reference's own difference) is
        None.

    Raises:
        RunError: A metric that is not finite.
    """
    references = _references(cells, reference)
    rows = [
        _row(cell, references.get(cell["budget"]), split, metric)
        for cell in cells
        for split, metric in _measured(cell)
    ]
    return pd.DataFrame(rows, dtype=object)


def caveats(cells: Sequence[Cell], seeds: Sequence[int], *, reference: str) -> list[str]:
    """Say what makes a comparison weaker than it looks; empty when nothing does.

    Args:
        cells: As for `compare`.
        seeds: The seeds that every cell should have been trained with.
        reference: As for `compare`.
    """
    found = [note for cell in cells for note in _missing_seeds(cell, seeds)]
    for budget in dict.fromkeys(cell["budget"] for cell in cells):
        found += _unfair(budget, [c for c in cells if c["budget"] == budget], reference)
    if len(seeds) == 1:
        found.append("one seed: nothing is known of the spread, so there are no intervals")
    return found


def costs(cells: Sequence[Cell], *, reference: str) -> list[str]:
    """Say what each cell trains whose cost is its own affair, not the budget's.

    Peers that own their training end at parameters of their own, and ranks given literally cost
    what they cost; neither is a fault of the comparison, but both must be known.

    Args:
        cells: As for `compare`; those with another tuner than `lora`, or literal ranks, are told.
        reference: As for `compare`.
    """
    references = _references(cells, reference)
    return [_cost(c, references.get(c["budget"])) for c in cells if _owns_its_cost(c)]


def _cost(cell: Cell, reference: Cell | None) -> str:
    trained, peak = cell["trainable_parameters"], cell["peak_parameters"]
    told = f"{cell['cell']} trains {trained:,} parameters"
    if reference is not None:
        share = 100 * trained / reference["trainable_parameters"]
        told += f", {share:.1f} % of {reference['strategy']}'s"
    return told + (f"; {peak:,} at its peak" if peak != trained else "")


def _owns_its_cost(cell: Cell) -> bool:
    return cell["tuner"] != "lora" or cell["strategy"].startswith("literal_")


def _references(cells: Sequence[Cell], reference: str) -> dict[float, Cell]:
    return {cell["budget"]: cell for cell in cells if cell["strategy"] == reference}


def _missing_seeds(cell: Cell, seeds: Sequence[int]) -> list[str]:
    present = {row["seed"] for row in cell["seeds"]}
    missing = [str(seed) for seed in seeds if seed not in present]
    if not missing:
        return []
    rest = f"its mean and its pairs rest on {len(seeds) - len(missing)} of {len(seeds)} seeds"
    return [f"{cell['cell']} lacks seed {', '.join(missing)}: {rest}"]


def _unfair(budget: float, cells: Sequence[Cell], reference: str) -> list[str]:
    found: list[str] = []
    counts = {c["cell"]: c["trainable_parameters"] for c in cells if not _owns_its_cost(c)}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        found.append(f"budget {budget:g}: NOT EQUAL trainable parameters, so not a test ({each})")
    if all(cell["strategy"] != reference for cell in cells):
        found.append(f"budget {budget:g} has no {reference} cell: no differences are taken there")
    return found


def _row(cell: Cell, reference: Cell | None, split: str, metric: str) -> dict[str, Any]:
    values = _values(cell, split, metric)
    itself = estimate(list(values.values()))
    against: Paired | None = None
    if reference is not None and reference is not cell:
        against = paired(values, _values(reference, split, metric))
    gain = against.difference if against else None
    return {
        **{key: cell[key] for key in _COPIED},
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
