"""Intervals from the cells' predictions: over test rows as well as seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adarank.comparison.caveats import Caveat
from adarank.comparison.cells import Interval
from adarank.comparison.pairs import Pair
from adarank.comparison.rows_and_seeds import (
    bootstrap_covariance,
    interval,
    mean_covariance,
    on_resampled_rows,
)
from adarank.comparison.wording import listed
from adarank.pipeline.files.tables import read_parquet
from adarank.tasks.measures import HEADLINES, Array, Floats, Measure

PREDICTIONS = Path("data/predictions")

_SEEDS_ONLY = "intervals there are over seeds alone, and not over test rows"

Cell = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """What the predictions add to the seeds.

    Attributes:
        intervals: Of the paired difference over rows and seeds, by the two cells' names.
        caveats: Why some comparisons have none.
    """

    intervals: dict[tuple[str, str], Interval]
    caveats: list[Caveat]


@dataclass(frozen=True)
class _Seeds:
    """A cell's predictions on test, by seed: the measure's columns, in the rows' order."""

    rows: Array
    columns: dict[int, list[Array]]


def row_intervals(
    cells: Sequence[Cell], pairs: Sequence[Pair], headline: str, folder: Path
) -> Rows:
    """Compute the interval of every pair of cells that have predictions.

    Args:
        cells: The study's cells, as evaluation wrote them.
        pairs: Which of them are compared.
        headline: The metric that they are compared by.
        folder: Where the task's predictions are, a file a cell.
    """
    measure = HEADLINES.get(headline)
    if measure is None:
        return Rows({}, [_unknown(f"{headline} is not computed by row: {_SEEDS_ONLY}.")])
    compared = {name for pair in pairs for name in pair.names}
    read: dict[str, _Seeds] = {}
    unusable: dict[str, list[str]] = {}
    for cell in cells:
        if cell["cell"] in compared and cell["seeds"]:
            found = _read(cell, measure, folder)
            if isinstance(found, str):
                unusable.setdefault(found, []).append(cell["cell"])
            else:
                read[cell["cell"]] = found
    caveats = [
        _unknown(f"{why}, of {listed(names)}: {_SEEDS_ONLY}.") for why, names in unusable.items()
    ]
    return _intervals(pairs, read, measure, caveats)


def _read(cell: Cell, measure: Measure, folder: Path) -> _Seeds | str:
    """Read a cell's predictions on test, or return the reason why they cannot be used."""
    path = folder / f"{cell['cell']}.parquet"
    if not path.exists():
        return f"No predictions in {folder}"
    table = read_parquet(path)[0]
    lacking = {"seed", "split", "row", *measure.columns} - set(table)
    if lacking:
        return f"Predictions without {', '.join(sorted(lacking))}"
    test = table.loc[table["split"] == "test"].sort_values(["seed", "row"])
    each = {int(seed): part for seed, part in test.groupby("seed")}
    recorded = {row["seed"]: row["headline"] for row in cell["seeds"] if row["split"] == "test"}
    if not _agree(recorded, each, measure):
        return "Predictions that give other metrics than evaluation did"
    rows = next(iter(each.values()))["row"].to_numpy()
    if any(not np.array_equal(part["row"].to_numpy(), rows) for part in each.values()):
        return "Predictions of other rows with other seeds"
    return _Seeds(rows, {seed: measure.arrays(part) for seed, part in each.items()})


def _agree(
    recorded: dict[int, float | None], each: dict[int, pd.DataFrame], measure: Measure
) -> bool:
    """Whether the predictions give the metrics; one that is undefined agrees with none."""
    if recorded.keys() != each.keys() or not recorded:
        return False
    return all(
        value is None or bool(np.isclose(measure(each[seed]), value, rtol=1e-9, atol=1e-12))
        for seed, value in recorded.items()
    )


def _intervals(
    pairs: Sequence[Pair], read: dict[str, _Seeds], measure: Measure, caveats: list[Caveat]
) -> Rows:
    found = Rows({}, caveats)
    samples = {name: _samples(one, measure) for name, one in read.items()}
    covariance_of = bootstrap_covariance if measure.by_row is None else mean_covariance
    for pair in pairs:
        first, second = (read.get(name) for name in pair.names)
        if first is None or second is None:
            continue
        names = " and ".join(pair.names)
        if not np.array_equal(first.rows, second.rows):
            text = f"{names} have predictions of other rows: not paired."
            found.caveats.append(_unknown(text))
            continue
        shared = sorted(first.columns.keys() & second.columns.keys())
        if len(shared) < 2 or len(first.rows) < 2:
            continue
        at = [[list(one.columns).index(seed) for seed in shared] for one in (first, second)]
        each = [samples[name][:, places] for name, places in zip(pair.names, at, strict=True)]
        differences = _whole(first, measure, shared) - _whole(second, measure, shared)
        ends = interval(differences, covariance_of(*each), len(first.rows))
        if ends is None:
            text = f"{names}: resampled rows may leave the metric undefined; {_SEEDS_ONLY}."
            found.caveats.append(_unknown(text))
        else:
            found.intervals[pair.names] = ends
    return found


def _samples(cell: _Seeds, measure: Measure) -> Floats:
    """Compute what a cell's differences are made of, a column per seed.

    That is each row's own value where the metric is their mean, and else the metric on resampled
    rows, which are the same for all cells that have as many rows.
    """
    tables = list(cell.columns.values())
    if measure.by_row is None:
        return on_resampled_rows(measure.of, tables, len(cell.rows))
    return np.stack([measure.by_row(*table) for table in tables], axis=1).astype(float)


def _whole(cell: _Seeds, measure: Measure, seeds: Sequence[int]) -> Floats:
    return np.array([float(measure.of(*cell.columns[seed])) for seed in seeds])


def _unknown(text: str) -> Caveat:
    return Caveat("rows_unknown", text)
