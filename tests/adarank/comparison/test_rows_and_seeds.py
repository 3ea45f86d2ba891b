"""Intervals over rows and seeds: closed form, plain loops, and coverage by simulation."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from adarank.comparison.rows_and_seeds import (
    bootstrap_covariance,
    interval,
    mean_covariance,
    on_resampled_rows,
)
from adarank.tasks.measures import HEADLINES, accuracy, loss_per_token, pearson
from bench.statistics import Accuracies, rows_coverage


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
    if measure.by_row is not None:
        assert found == pytest.approx(np.asarray(measure.by_row(*columns)).mean(-1))


def test_resampling_is_the_plain_loop() -> None:
    n_rows, resamples = 15, 40
    both = tables(n_rows, 3)
    drawn = on_resampled_rows(pearson.of, both, n_rows, resamples, seed=5)
    rows = np.random.default_rng(5).integers(n_rows, size=(resamples, n_rows))
    for b in range(resamples):
        for s, (x, y) in enumerate(both):
            wanted: Any = stats.pearsonr(x[rows[b]], y[rows[b]])
            assert drawn[b, s] == pytest.approx(wanted.statistic, abs=1e-12)


def test_rows_drawn_in_parts_are_drawn_all(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = on_resampled_rows(pearson.of, tables(50, 2), 50, 30)
    monkeypatch.setattr("adarank.comparison.rows_and_seeds._NUMBERS_AT_ONCE", 200)
    parts = on_resampled_rows(pearson.of, tables(50, 2), 50, 30)
    assert whole.shape == parts.shape == (30, 2)
    assert np.array_equal(whole, parts)


def test_the_closed_form_is_the_table_of_variances() -> None:
    # The mean squares of a two-way table, summed by hand: (MS_rows + MS_seeds - MS_rest) / (R S).
    rng = np.random.default_rng(1)
    n_rows, n = 200, 4
    d = rng.normal(size=(n_rows, 1)) + rng.normal(size=n) + rng.normal(size=(n_rows, n))
    by_row, by_seed, mean = d.mean(1), d.mean(0), d.mean()
    rows = n * ((by_row - mean) ** 2).sum() / (n_rows - 1)
    seeds = n_rows * ((by_seed - mean) ** 2).sum() / (n - 1)
    rest = ((d - by_row[:, None] - by_seed + mean) ** 2).sum() / ((n_rows - 1) * (n - 1))
    variance, over_seeds = (rows + seeds - rest) / (n_rows * n), seeds / (n_rows * n)
    over_rows = variance - over_seeds
    df = variance**2 / (over_seeds**2 / (n - 1) + over_rows**2 / (n_rows - 1))
    half = max(stats.t.ppf(0.975, df) * variance**0.5, stats.t.ppf(0.975, n - 1) * over_seeds**0.5)
    found = interval(by_seed, mean_covariance(d, np.zeros_like(d)), n_rows)
    assert found == pytest.approx((mean - half, mean + half))


def test_the_bootstrap_agrees_with_the_closed_form_where_both_apply() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random((300, 3)) < 0.7).astype(float), (rng.random((300, 3)) < 0.6) * 1.0
    closed = mean_covariance(first, second)
    columns = [[t] for t in (*first.T, *second.T)]
    drawn = on_resampled_rows(HEADLINES["exact_match"].of, columns, 300, 4000)
    sampled = bootstrap_covariance(drawn[:, :3], drawn[:, 3:])
    assert np.diag(sampled) == pytest.approx(np.diag(closed), rel=0.08)
    assert sampled - closed == pytest.approx(np.zeros((3, 3)), abs=0.08 * closed.max())


def test_the_same_predictions_have_no_width() -> None:
    table = np.random.default_rng(0).random((30, 3))
    assert interval(np.zeros(3), mean_covariance(table, table), 30) == (0.0, 0.0)


def test_a_mirrored_difference_has_the_mirrored_interval() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 30, 3))
    there = interval((first - second).mean(0), mean_covariance(first, second), 30)
    back = interval((second - first).mean(0), mean_covariance(second, first), 30)
    assert there is not None and back is not None
    assert there == pytest.approx((-back[1], -back[0]))


def test_undefined_on_drawn_rows_or_one_seed_has_no_interval() -> None:
    constant = [np.array([1.0, 1.0, 1.0, 2.0])] * 2
    drawn = on_resampled_rows(pearson.of, [constant] * 4, 4, 100)
    assert np.isnan(drawn).any()
    assert interval(np.zeros(2), bootstrap_covariance(drawn[:, :2], drawn[:, 2:]), 4) is None
    assert interval(np.zeros(1), np.zeros((1, 1)), 4) is None


@pytest.mark.parametrize(("n_rows", "n"), [(500, 3), (500, 5), (300, 10)])
@pytest.mark.parametrize("row_effect", [0.0, 2.0])
def test_coverage_is_near_95_percent(n_rows: int, n: int, row_effect: float) -> None:
    # Resampling rows and seeds at once covered 99 to 100 % without a row effect, at 1.6 to 1.9
    # times the width; seeds alone cover 75 % with one and five seeds.
    coverage, _, width = rows_coverage(Accuracies(n_rows, n, row_effect), 600, seed=20261127)
    assert 0.925 <= coverage <= 0.98
    # Student's factor over 1.96 is what so few seeds cost where the rows add nothing.
    least = float(stats.t.ppf(0.975, n - 1)) / 1.96
    assert width <= 1.15 * least if row_effect == 0 else width <= 1.3 * least


def test_coverage_of_a_correlation_is_near_95_percent() -> None:
    rng, hits, times = np.random.default_rng(3), 0, 200
    for _ in range(times):
        label, luck = rng.normal(size=120), rng.normal(0, 0.2, size=(2, 4))
        each = [
            [label, label + (1 + luck[c, s]) * rng.normal(size=120)]
            for c in range(2)
            for s in range(4)
        ]
        drawn = on_resampled_rows(pearson.of, each, 120, 200)
        whole = np.array([float(pearson.of(*table)) for table in each])
        found = interval(
            whole[:4] - whole[4:], bootstrap_covariance(drawn[:, :4], drawn[:, 4:]), 120
        )
        assert found is not None
        hits += found[0] <= 0 <= found[1]
    assert 0.90 <= hits / times <= 0.99
