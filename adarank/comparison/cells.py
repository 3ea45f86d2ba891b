"""Cells side by side: a mean with its interval each, and differences within pairs of seeds.

A cell is the record that evaluation writes: strategy, budget, tuner, parameters, and for each
seed and split the metrics. Two cells are compared at one budget only, seed by seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from adarank.allocation.strategies.controls import original
from adarank.comparison.caveats import Cell, unfinished
from adarank.comparison.significance import (
    Estimate,
    detectable,
    estimate,
    holm,
    paired,
    sign_flip_floor,
)
from adarank.comparison.significance import sign_flip_p as flip_p
from adarank.comparison.significance import t_p as student_p

Role = Literal["reference", "control"]
Values = dict[int, float]
Interval = tuple[float, float]

_NOT_METRICS = ("seed", "split", "n", "headline")
_COPIED = ("cell", "strategy", "budget", "trainable_parameters", "peak_parameters")
_ESTIMATED = ("n", "mean", "sd", "low", "high")
_COMPARED = ("difference", "difference_low", "difference_high", "pairs", "p", "t_p")
_COLUMNS = [*_COPIED, "split", "metric", *_ESTIMATED, *_COMPARED]


@dataclass(frozen=True)
class Pair:
    """Two cells of one budget to compare.

    Attributes:
        cell: The one that is told about.
        against: The one that it is compared with.
        role: What that one is: the study's reference, or the cell's own control.
    """

    cell: Cell
    against: Cell
    role: Role

    @property
    def names(self) -> tuple[str, str]:
        """The cells' names."""
        return self.cell["cell"], self.against["cell"]


@dataclass(frozen=True)
class Comparison:
    """One metric of two cells on test, within pairs of seeds; None where nothing is known.

    Attributes:
        pair: The cells.
        metric: What is compared.
        n: Pairs of seeds.
        difference: The cell's mean less the other's, in the metric's unit.
        low: Lower end of its 95 % interval (Student's t over seeds).
        high: Upper end.
        p: Exact sign-flip p over seeds.
        p_holm: The same, corrected for the study's comparisons.
        p_floor: The least p that n pairs can give.
        t_p: Paired t's p.
        t_p_holm: The same, corrected.
        rows: 95 % interval by bootstrap over rows and seeds; None where not known.
        detectable: Smallest true difference that n pairs would find with 80 % power at 5 %.
        gain: The difference, signed so that positive is better.
        family: How many comparisons of the study are corrected for together.
        unfinished: What is amiss with planned seeds of either cell, each in words.
    """

    pair: Pair
    metric: str
    n: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    p_floor: float | None
    t_p: float | None
    t_p_holm: float | None
    rows: Interval | None
    detectable: float | None
    gain: float | None
    family: int
    unfinished: tuple[str, ...]


def pairs(cells: Sequence[Cell], *, reference: str) -> list[Pair]:
    """List what is compared with what: each cell with its budget's reference and own controls.

    Args:
        cells: Records with `cell`, `strategy` and `budget`.
        reference: The strategy that all others are compared with, at each budget.

    Returns:
        By cell, in their order. Two cells are paired once: where the reference's own control is
        compared with it already, that comparison is the one.
    """
    references = {cell["budget"]: cell for cell in cells if cell["strategy"] == reference}
    with_reference = [
        Pair(cell, references[cell["budget"]], "reference")
        for cell in cells
        if cell["strategy"] != reference and cell["budget"] in references
    ]
    with_controls = [
        Pair(cell, control, "control")
        for cell in cells
        for control in cells
        if cell["budget"] == control["budget"]
        and original(control["strategy"]) == cell["strategy"]
        and cell["strategy"] != reference
        and control["strategy"] != reference
    ]
    return with_reference + with_controls


def comparisons(
    compared: Sequence[Pair],
    *,
    metric: str,
    better: str,
    seeds: Sequence[int],
    rows: Mapping[tuple[str, str], Interval],
) -> list[Comparison]:
    """Compare pairs of cells by one metric on test, and correct for their number.

    Args:
        compared: The pairs.
        metric: What they are compared by.
        better: `higher` or `lower`: which way it improves.
        seeds: The seeds that every cell should have been trained with.
        rows: Bootstrap intervals by the pair's names, where there are any.

    Raises:
        RunError: A metric that is not finite.
    """
    sign = 1 if better == "higher" else -1
    found = [_comparison(pair, metric, sign, seeds, rows.get(pair.names)) for pair in compared]
    tested = [one for one in found if one.p is not None]
    flips, ts = holm([one.p or 0 for one in tested]), holm([one.t_p or 0 for one in tested])
    corrected = iter(zip(flips, ts, strict=True))
    return [
        one if one.p is None else _corrected(one, *next(corrected), len(tested)) for one in found
    ]


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
        difference_high, pairs, p, t_p, the last two by themselves, corrected for nothing. What
        is unknown (one seed; the reference's own difference) is None.

    Raises:
        RunError: A metric that is not finite.
    """
    references = {cell["budget"]: cell for cell in cells if cell["strategy"] == reference}
    rows = [
        _row(cell, references.get(cell["budget"]), split, metric)
        for cell in cells
        for split, metric in _measured(cell)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS, dtype=object)


def measured_on_test(cell: Cell) -> dict[str, Estimate]:
    """Estimate every metric that a cell has on test; none where every seed failed.

    Raises:
        RunError: A metric that is not finite.
    """
    metrics = [metric for split, metric in _measured(cell) if split == "test"]
    return {metric: estimate(list(_values(cell, "test", metric).values())) for metric in metrics}


def _comparison(
    pair: Pair, metric: str, sign: int, seeds: Sequence[int], rows: Interval | None
) -> Comparison:
    first, second = (_values(cell, "test", metric) for cell in (pair.cell, pair.against))
    found = paired(first, second)
    each, gain = found.differences, found.difference
    return Comparison(
        pair=pair,
        metric=metric,
        n=len(each),
        difference=gain.mean if gain else None,
        low=gain.low if gain else None,
        high=gain.high if gain else None,
        p=flip_p(each) if each else None,
        p_holm=None,
        p_floor=sign_flip_floor(len(each)) if each else None,
        t_p=student_p(each) if each else None,
        t_p_holm=None,
        rows=rows if each else None,
        detectable=detectable(gain.sd, gain.n) if gain else None,
        gain=sign * gain.mean if gain else None,
        family=0,
        unfinished=tuple(
            f"{cell['cell']}'s {fault}"
            for cell in (pair.cell, pair.against)
            for fault in unfinished(cell, seeds, metric)
        ),
    )


def _corrected(one: Comparison, p: float, t_p: float, family: int) -> Comparison:
    return replace(one, p_holm=p, t_p_holm=t_p, family=family)


def _row(cell: Cell, reference: Cell | None, split: str, metric: str) -> dict[str, Any]:
    values = _values(cell, split, metric)
    itself = estimate(list(values.values()))
    # The reference itself has no pairs, as has a cell whose budget lacks one.
    other = {} if reference is None or reference is cell else _values(reference, split, metric)
    found = paired(values, other)
    each, gain = found.differences, found.difference
    return {
        **{key: cell[key] for key in _COPIED},
        "split": split,
        "metric": metric,
        **{name: getattr(itself, name) for name in _ESTIMATED},
        "difference": gain.mean if gain else None,
        "difference_low": gain.low if gain else None,
        "difference_high": gain.high if gain else None,
        "pairs": len(each),
        "p": flip_p(each) if each else None,
        "t_p": student_p(each) if each else None,
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
