"""Bootstrap intervals from the cells' predictions: over test rows as well as seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adarank.comparison.bootstrap import interval, on_drawn_rows
from adarank.comparison.cells import Interval, Pair
from adarank.comparison.wording import listed
from adarank.pipeline.files.whole import read_parquet
from adarank.tasks.measures import HEADLINES, Array, Floats, Measure

PREDICTIONS = Path("data/predictions")

_SEEDS_ONLY = "differences are judged by seeds alone, and not by test rows"

Cell = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """What the predictions add to the seeds.

    Attributes:
        intervals: Of the paired difference over rows and seeds, by the two cells' names.
        notes: Why some comparisons have none.
    """

    intervals: dict[tuple[str, str], Interval]
    notes: list[str]


@dataclass(frozen=True)
class _Seeds:
    """A cell's predictions on test, by seed: the measure's columns, in the rows' order."""

    rows: Array
    columns: dict[int, list[Array]]


def row_intervals(
    cells: Sequence[Cell], pairs: Sequence[Pair], headline: str, folder: Path
) -> Rows:
    """Bootstrap the headline metric of every pair of cells that have predictions.

    Args:
        cells: The study's cells, as evaluation wrote them.
        pairs: Which of them are compared.
        headline: The metric that they are compared by.
        folder: Where the task's predictions are, a file a cell.
    """
    measure = HEADLINES.get(headline)
    if measure is None:
        return Rows({}, [f"{headline} is not bootstrapped over rows: {_SEEDS_ONLY}"])
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
    notes = [f"{why}, of {listed(names)}: {_SEEDS_ONLY}" for why, names in unusable.items()]
    return _intervals(pairs, read, _drawn(read, measure), Rows({}, notes))


def _read(cell: Cell, measure: Measure, folder: Path) -> _Seeds | str:
    """Read a cell's predictions on test, or say why they cannot be used."""
    path = folder / f"{cell['cell']}.parquet"
    if not path.exists():
        return f"no predictions in {folder}"
    table = read_parquet(path)[0]
    lacking = {"seed", "split", "row", *measure.columns} - set(table)
    if lacking:
        return f"predictions without {', '.join(sorted(lacking))}"
    test = table.loc[table["split"] == "test"].sort_values(["seed", "row"])
    each = {int(seed): part for seed, part in test.groupby("seed")}
    told = {row["seed"]: row["headline"] for row in cell["seeds"] if row["split"] == "test"}
    if not _agree(told, each, measure):
        return "predictions that give other metrics than evaluation did"
    rows = next(iter(each.values()))["row"].to_numpy()
    if any(not np.array_equal(part["row"].to_numpy(), rows) for part in each.values()):
        return "predictions of other rows with other seeds"
    return _Seeds(rows, {seed: measure.arrays(part) for seed, part in each.items()})


def _agree(told: dict[int, float | None], each: dict[int, pd.DataFrame], measure: Measure) -> bool:
    """Whether the predictions give the metrics; one that is undefined agrees with none."""
    if told.keys() != each.keys() or not told:
        return False
    return all(
        value is None or bool(np.isclose(measure(each[seed]), value, rtol=1e-9, atol=1e-12))
        for seed, value in told.items()
    )


def _drawn(read: dict[str, _Seeds], measure: Measure) -> dict[tuple[str, int], Floats]:
    """Measure every cell and seed on drawn rows, the same of all that have the same rows."""
    found: dict[tuple[str, int], Floats] = {}
    for size in sorted({len(one.rows) for one in read.values()}):
        alike = {name: one for name, one in read.items() if len(one.rows) == size}
        keys = [(name, seed) for name, one in alike.items() for seed in one.columns]
        tables = [read[name].columns[seed] for name, seed in keys]
        found |= dict(zip(keys, on_drawn_rows(measure, tables, size).T, strict=True))
    return found


def _intervals(
    pairs: Sequence[Pair],
    read: dict[str, _Seeds],
    drawn: dict[tuple[str, int], Floats],
    found: Rows,
) -> Rows:
    for pair in pairs:
        cell, against = pair.names
        if cell not in read or against not in read:
            continue
        if not np.array_equal(read[cell].rows, read[against].rows):
            found.notes.append(f"{cell} and {against} have predictions of other rows: not paired")
            continue
        shared = sorted(read[cell].columns.keys() & read[against].columns.keys())
        if not shared:
            continue
        first, second = (np.stack([drawn[n, s] for s in shared], 1) for n in (cell, against))
        ends = interval(first, second)
        if ends is None:
            found.notes.append(f"{cell} and {against}: drawn rows may leave the metric undefined")
        else:
            found.intervals[cell, against] = ends
    return found
