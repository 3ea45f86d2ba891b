"""Intervals over rows and seeds, from the files that evaluation writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from adarank.comparison.pairs import pairs
from adarank.pipeline.artifacts.predictions import PREDICTIONS, Rows, row_intervals
from adarank.pipeline.files.tables import write_parquet

CELLS = ("uniform-4", "fisher-4")
N_ROWS = 60


def table(name: str, seeds: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(len(name))
    label = np.random.default_rng(0).integers(3, size=N_ROWS)
    parts = [
        pd.DataFrame(
            {
                "seed": seed,
                "split": split,
                "row": np.arange(N_ROWS),
                "label": label,
                "predicted": np.where(rng.random(N_ROWS) < 0.7, label, (label + 1) % 3),
            }
        )
        for seed in range(seeds)
        for split in ("validation", "test")
    ]
    return pd.concat(parts, ignore_index=True)


def write(name: str, predictions: pd.DataFrame) -> dict[str, Any]:
    """Write a cell's predictions; its record as evaluation would have made it of them."""
    write_parquet(PREDICTIONS / f"{name}.parquet", predictions)
    test = predictions.loc[predictions["split"] == "test"]
    right = (test["label"] == test["predicted"]).groupby(test["seed"]).mean()
    strategy = name.partition("-")[0]
    seeds = [{"seed": s, "split": "test", "headline": float(v)} for s, v in right.items()]
    return {"cell": name, "strategy": strategy, "budget": 4.0, "seeds": seeds}


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.chdir(tmp_path)
    return [write(name, table(name)) for name in CELLS]


def found(cells: list[dict[str, Any]], headline: str = "accuracy") -> Rows:
    compared = pairs(cells, reference="uniform", controls={})
    return row_intervals(cells, compared, headline, PREDICTIONS)


def test_a_pair_has_an_interval_about_its_difference(cells: list[dict[str, Any]]) -> None:
    rows = found(cells)
    low, high = rows.intervals["fisher-4", "uniform-4"]
    means = [np.mean([row["headline"] for row in cell["seeds"]]) for cell in cells]
    assert low < means[1] - means[0] < high and rows.caveats == []


def test_the_order_of_a_files_rows_does_not_matter(cells: list[dict[str, Any]]) -> None:
    before = found(cells)
    mixed = table(CELLS[1]).sample(frac=1, random_state=0)
    assert found([cells[0], write(CELLS[1], mixed)]) == before


def test_only_test_rows_count(cells: list[dict[str, Any]]) -> None:
    before, changed = found(cells), table(CELLS[1])
    changed.loc[changed["split"] == "validation", "predicted"] = 0
    assert found([cells[0], write(CELLS[1], changed)]) == before


def test_none_without_predictions_and_it_is_said(cells: list[dict[str, Any]]) -> None:
    (PREDICTIONS / "fisher-4.parquet").unlink()
    rows = found(cells)
    assert rows.intervals == {}
    assert [one.text for one in rows.caveats] == [
        "No predictions in data/predictions, of fisher-4: intervals there are over seeds alone, "
        "and not over test rows."
    ]


def test_predictions_that_are_not_the_metrics_own_are_not_used(cells: list[dict[str, Any]]) -> None:
    cells[1]["seeds"][0]["headline"] += 0.001
    rows = found(cells)
    assert rows.intervals == {} and "give other metrics than evaluation did" in rows.caveats[0].text


def test_predictions_of_other_rows_are_not_paired(cells: list[dict[str, Any]]) -> None:
    fewer = table(CELLS[1]).query("row > 0")
    (caveat,) = found([cells[0], write(CELLS[1], fewer)]).caveats
    assert caveat.text == "fisher-4 and uniform-4 have predictions of other rows: not paired."


def test_a_column_that_is_lacking_is_named(cells: list[dict[str, Any]]) -> None:
    rows = found(cells, "exact_match")
    assert (
        rows.intervals == {} and "Predictions without exact, of uniform-4" in rows.caveats[0].text
    )
    assert "spearman is not computed by row" in found(cells, "spearman").caveats[0].text


def test_seeds_that_both_have_are_paired(cells: list[dict[str, Any]]) -> None:
    short = write(CELLS[1], table(CELLS[1]).query("seed != 1"))
    one = found([cells[0], short])
    assert list(one.intervals) == [("fisher-4", "uniform-4")] and one.caveats == []


def test_a_cell_of_which_every_seed_failed_is_passed_over(cells: list[dict[str, Any]]) -> None:
    rows = found([cells[0], cells[1] | {"seeds": []}])
    assert rows == Rows({}, [])
