"""bench.paired: cells of different studies, paired by seed and corrected for what was planned."""

from typing import Any

import pytest
from scipy import stats

from bench.paired import compared


def record(*losses: float, rate: float = 0.06) -> dict[str, Any]:
    test = [{"seed": s, "split": "test", "headline": x} for s, x in enumerate(losses)]
    validation = [{"seed": s, "split": "validation", "headline": 9.0} for s in range(len(losses))]
    return {"learning_rate": rate, "seeds": [*validation, *test]}


def test_differences_are_paired_and_corrected_for_the_planned_family() -> None:
    first, second, third = (3.9, 3.8, 3.7, 3.6), (3.85, 3.76, 3.65, 3.54), (3.9, 3.81, 3.7, 3.61)
    records = {"a": record(*first), "b": record(*second, rate=0.1), "c": record(*third)}
    rows = compared(records, family=10)
    assert [row[0] for row in rows] == ["a", "b", "c"] and rows[1][1] == "0.1"
    p = stats.ttest_rel(second, first).pvalue
    assert float(rows[1][4]) == pytest.approx(p, abs=1e-4)
    assert float(rows[1][5]) == pytest.approx(10 * p, abs=1e-3), "the smallest p of ten"
    assert rows[1][3].startswith("-0.0500 (")
    assert float(compared(records)[1][5]) == pytest.approx(2 * p, abs=2e-4)
