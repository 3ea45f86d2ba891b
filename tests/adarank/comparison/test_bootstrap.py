"""The bootstrap over rows and seeds: a plain double loop, coverage, and what it must not see."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from adarank.comparison.bootstrap import interval, on_drawn_rows
from adarank.tasks.measures import HEADLINES, accuracy, loss_per_token, pearson


def tables(n_rows: int, n: int, seed: int = 0) -> list[list[Any]]:
    rng = np.random.default_rng(seed)
    label = rng.normal(size=n_rows)
    return [[label, label + rng.normal(size=n_rows)] for _ in range(n)]


def test_measures_are_the_libraries() -> None:
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(3, size=(2, 40))
    assert accuracy.of(label, predicted) == sk.accuracy_score(label, predicted)
    (x, y), nats, tokens = tables(40, 1)[0], rng.random(40), rng.integers(0, 9, size=40)
    assert pearson.of(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-15)
    assert loss_per_token.of(nats, tokens) == nats.sum() / tokens.sum()


@pytest.mark.parametrize("name", HEADLINES)
def test_measures_leave_all_axes_but_the_rows(name: str) -> None:
    rng = np.random.default_rng(0)
    measure = HEADLINES[name]
    columns = [rng.integers(1, 9, size=(2, 3, 12)) for _ in measure.columns]
    found = measure.of(*columns)
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(measure.of(*(column[1, 2] for column in columns)))


def test_vectorised_is_the_plain_double_loop() -> None:
    n_rows, seeds, resamples = 15, 3, 40
    first, second = tables(n_rows, seeds, 1), tables(n_rows, seeds, 2)
    drawn = on_drawn_rows(pearson, first + second, n_rows, resamples, seed=5)
    found = interval(drawn[:, :seeds], drawn[:, seeds:], 0.9, seed=6)
    rows = np.random.default_rng(5).integers(n_rows, size=(resamples, n_rows))
    picked = np.random.default_rng(6).integers(seeds, size=(resamples, seeds))
    means: list[float] = []
    for b in range(resamples):
        total = 0.0
        for s in picked[b]:
            one, other = (
                float(stats.pearsonr(t[s][0][rows[b]], t[s][1][rows[b]]).statistic)
                for t in (first, second)
            )
            total += one - other
        means.append(total / seeds)
    assert found == pytest.approx(np.quantile(means, [0.05, 0.95]), abs=1e-12)


def test_rows_drawn_in_parts_are_drawn_all(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = on_drawn_rows(pearson, tables(50, 2), 50, 30)
    monkeypatch.setattr("adarank.comparison.bootstrap._NUMBERS_AT_ONCE", 200)
    parts = on_drawn_rows(pearson, tables(50, 2), 50, 30)
    assert whole.shape == parts.shape == (30, 2)
    assert np.array_equal(whole, parts)


def test_the_same_rows_are_drawn_for_all_tables() -> None:
    one = tables(30, 1)[0]
    drawn = on_drawn_rows(pearson, [one, one], 30, 50)
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    assert interval(drawn[:, :1], drawn[:, 1:]) == (0.0, 0.0)


def test_a_mirrored_difference_has_the_mirrored_interval() -> None:
    drawn = on_drawn_rows(pearson, tables(30, 6), 30, 200)
    there, back = interval(drawn[:, :3], drawn[:, 3:]), interval(drawn[:, 3:], drawn[:, :3])
    assert there is not None and back is not None
    assert there == pytest.approx((-back[1], -back[0]))


def test_undefined_on_drawn_rows_has_no_interval() -> None:
    constant = [np.array([1.0, 1.0, 1.0, 2.0])] * 2
    drawn = on_drawn_rows(pearson, [constant, constant], 4, 100)
    assert np.isnan(drawn).any()
    assert interval(drawn[:, :1], drawn[:, 1:]) is None


def test_rows_alone_would_be_too_narrow_and_seeds_alone_too() -> None:
    # Seeds that differ and rows that differ both widen it: the sum of the two variances.
    rng = np.random.default_rng(0)
    luck, hard = rng.normal(0, 1, size=40), rng.normal(0, 8, size=400)
    scores = [[hard + one] for one in luck]
    zeros = [[np.zeros(400)] for _ in luck]
    drawn = on_drawn_rows(HEADLINES["exact_match"], scores + zeros, 400)
    ends = interval(drawn[:, :40], drawn[:, 40:])
    assert ends is not None
    width = 2 * 1.96 * np.sqrt(luck.var() / 40 + hard.var() / 400)
    assert ends[1] - ends[0] == pytest.approx(width, rel=0.1)
