"""Cells side by side: a mean with its interval each, and differences within pairs of seeds.

A cell is the record that evaluation writes: strategy, budget, tuner, parameters, and for each
seed and split the metrics. Two cells are compared at one budget only, seed by seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from adarank.comparison.pairs import Pair
from adarank.comparison.records import Cell, measured, missing_values, values_by_seed
from adarank.comparison.significance import (
    Estimate,
    detectable,
    equivalence_p,
    estimate,
    holm,
    paired,
    sign_flip_floor,
)
from adarank.comparison.significance import sign_flip_p as flip_p
from adarank.comparison.significance import t_p as student_p

Interval = tuple[float, float]

_COPIED = ("cell", "strategy", "budget", "trainable_parameters", "peak_parameters")
_ESTIMATED = ("n", "mean", "sd", "low", "high")
_COMPARED = ("difference", "difference_low", "difference_high", "pairs", "p", "t_p")
_COLUMNS = [*_COPIED, "split", "metric", *_ESTIMATED, *_COMPARED]


@dataclass(frozen=True)
class Comparison:
    """One metric of two cells on test, within pairs of seeds; None where nothing is known.

    The paired t test decides the verdict. Sign flips and the interval over rows and seeds are
    shown beside it.

    Attributes:
        pair: The cells.
        metric: What is compared.
        n: Pairs of seeds.
        difference: The cell's mean minus the other's, in the metric's unit.
        low: Lower end of its 95 % interval (Student's t over seeds).
        high: Upper end.
        t_p: The paired t test's p.
        t_p_holm: The same, corrected for its family; None outside a family.
        p: Exact sign-flip p over seeds, uncorrected.
        p_floor: The smallest sign-flip p that n pairs can reach.
        rows: 95 % interval over rows and seeds; None where unknown.
        sd: Standard deviation of the pairs' differences; None with one pair.
        detectable: Smallest true difference that n pairs would find with 80 % power after the
            correction; None outside a family.
        gain: The difference, signed so that positive is better.
        family_size: How many comparisons are corrected for together; 0 outside a family.
        unfinished: What is wrong with planned seeds of either cell, each in words.
        task: The task's name in a study of several; empty for the only one.
        margin: The largest difference that does not matter; None where the study sets none.
        equivalence_p: p of the two one-sided tests that the difference is within the margin.
        equivalence_p_holm: The same, corrected for its family; None outside a family.
    """

    pair: Pair
    metric: str
    n: int
    difference: float | None
    low: float | None
    high: float | None
    t_p: float | None
    t_p_holm: float | None
    p: float | None
    p_floor: float | None
    rows: Interval | None
    sd: float | None
    detectable: float | None
    gain: float | None
    family_size: int
    unfinished: tuple[str, ...]
    task: str = ""
    margin: float | None = None
    equivalence_p: float | None = None
    equivalence_p_holm: float | None = None


def comparisons(
    compared: Sequence[Pair],
    *,
    metric: str,
    better: str,
    seeds: Sequence[int],
    rows: Mapping[tuple[str, str], Interval],
    task: str = "",
    margin: float | None = None,
) -> list[Comparison]:
    """Compare pairs of cells by one metric on test; `corrected` then corrects for their number.

    Args:
        compared: The pairs.
        metric: What they are compared by.
        better: `higher` or `lower`: which way it improves.
        seeds: The seeds that every cell should have been trained with.
        rows: Intervals over rows and seeds by the pair's names, where there are any.
        task: The task's name, in a study of several.
        margin: The largest difference that does not matter, in the metric's unit, as it was set
            before the results were known; None for no test of equivalence.

    Raises:
        RunError: A metric that is not finite.
    """
    sign = 1 if better == "higher" else -1
    compare_pair = [
        _comparison(p, metric, sign, seeds, rows.get(p.names), margin) for p in compared
    ]
    return [replace(comparison, task=task) for comparison in compare_pair]


def corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """Correct each family of a study's comparisons by Holm's procedure.

    There are two families: strategies against the reference, and strategies against their own
    controls. Each covers all tasks and budgets of the study, so give all of its comparisons at
    once. A comparison without any finished pair of seeds has no test and is in no family.
    """
    result = list(found)
    for family in ("primary", "secondary"):
        members = [
            at for at, c in enumerate(found) if c.pair.family == family and c.t_p is not None
        ]
        size = len(members)
        for at, p in zip(members, holm([found[at].t_p or 0.0 for at in members]), strict=True):
            one = found[at]
            least = detectable(one.sd, one.n, family=size)
            result[at] = replace(one, t_p_holm=p, family_size=size, detectable=least)
        # Equivalence is a family of tests of its own, of the same comparisons.
        with_margin = [at for at in members if found[at].equivalence_p is not None]
        ps = holm([found[at].equivalence_p or 0.0 for at in with_margin])
        for at, p in zip(with_margin, ps, strict=True):
            result[at] = replace(result[at], equivalence_p_holm=p)
    return result


def compare(cells: Sequence[Cell], *, reference: str) -> pd.DataFrame:
    """Estimate every metric of every cell, and its paired difference from the reference.

    Args:
        cells: Records with `cell`, `strategy`, `budget`, `trainable_parameters`,
            `peak_parameters` and `seeds`, the last a list of rows {seed, split, n, headline,
            METRIC: number or None ...}.
        reference: The strategy that all others are compared with, at each budget.

    Returns:
        One row per cell, split and metric: cell, strategy, budget, trainable_parameters,
        peak_parameters, split, metric, n, mean, sd, low, high, difference, difference_low,
        difference_high, pairs, p (sign flips), t_p; both p uncorrected. What is unknown (one
        seed; the reference's own difference) is None.

    Raises:
        RunError: A metric that is not finite.
    """
    references = {cell["budget"]: cell for cell in cells if cell["strategy"] == reference}
    rows = [
        _row(cell, references.get(cell["budget"]), split, metric)
        for cell in cells
        for split, metric in measured(cell)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS, dtype=object)


def measured_on_test(cell: Cell) -> dict[str, Estimate]:
    """Estimate every metric that a cell has on test; empty where every seed failed.

    Raises:
        RunError: A metric that is not finite.
    """
    metrics = [metric for split, metric in measured(cell) if split == "test"]
    return {name: estimate(list(values_by_seed(cell, "test", name).values())) for name in metrics}


def _comparison(
    pair: Pair,
    metric: str,
    sign: int,
    seeds: Sequence[int],
    rows: Interval | None,
    margin: float | None,
) -> Comparison:
    first, second = (values_by_seed(cell, "test", metric) for cell in (pair.cell, pair.against))
    result = paired(first, second)
    each, mean = result.differences, result.difference
    return Comparison(
        pair=pair,
        metric=metric,
        n=len(each),
        difference=mean.mean if mean else None,
        low=mean.low if mean else None,
        high=mean.high if mean else None,
        t_p=student_p(each) if each else None,
        t_p_holm=None,
        p=flip_p(each) if each else None,
        p_floor=sign_flip_floor(len(each)) if each else None,
        rows=rows if each else None,
        sd=mean.sd if mean else None,
        detectable=None,
        gain=sign * mean.mean if mean else None,
        family_size=0,
        unfinished=tuple(
            f"{cell['cell']}'s {fault}"
            for cell in (pair.cell, pair.against)
            for fault in missing_values(cell, seeds, metric)
        ),
        margin=margin,
        equivalence_p=equivalence_p(each, margin) if each and margin else None,
    )


def _row(cell: Cell, reference: Cell | None, split: str, metric: str) -> dict[str, Any]:
    values = values_by_seed(cell, split, metric)
    itself = estimate(list(values.values()))
    # The reference itself has no pairs, and neither has a cell whose budget lacks a reference.
    other = (
        {} if reference is None or reference is cell else values_by_seed(reference, split, metric)
    )
    result = paired(values, other)
    each, mean = result.differences, result.difference
    return {
        **{key: cell[key] for key in _COPIED},
        "split": split,
        "metric": metric,
        **{name: getattr(itself, name) for name in _ESTIMATED},
        "difference": mean.mean if mean else None,
        "difference_low": mean.low if mean else None,
        "difference_high": mean.high if mean else None,
        "pairs": len(each),
        "p": flip_p(each) if each else None,
        "t_p": student_p(each) if each else None,
    }
