"""Equivalent to the reference within a margin: the test's size and power, and its words."""

import math

import numpy as np
import pytest
from scipy import stats

from adarank.comparison.cells import Comparison, comparisons, corrected
from adarank.comparison.pairs import pairs
from adarank.comparison.significance import equivalence_p
from adarank.comparison.study import study_verdict
from adarank.comparison.verdict import equivalent, sentence
from tests.cells_compared import cell, controls_among

SEEDS = 10
STUDIES = 4000


def share_shown(true: float, margin: float = 1.0, sd: float = 0.6) -> float:
    """How often ten pairs around a true difference come out as equivalent at 5 %."""
    draws = np.random.default_rng(0).normal(true, sd, (STUDIES, SEEDS))
    return float(np.mean([equivalence_p(row, margin) <= 0.05 for row in draws.tolist()]))


def test_p_is_the_larger_of_two_one_sided_tests():
    for row in np.random.default_rng(1).normal(0.2, 1, (50, 6)).tolist():
        above = stats.ttest_1samp(row, -0.7, alternative="greater").pvalue
        below = stats.ttest_1samp(row, 0.7, alternative="less").pvalue
        assert equivalence_p(row, 0.7) == pytest.approx(max(above, below), rel=1e-9)


@pytest.mark.parametrize("edge", [1.0, -1.0])
def test_at_the_margin_it_errs_as_often_as_its_level(edge: float):
    # Three standard errors of a share of 5 %.
    assert share_shown(edge) == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / STUDIES))
    assert share_shown(1.5 * edge) < 0.005


def test_its_power_is_the_known_one():
    # Both tests must reject at 0 difference: 1 - 2 (1 - F(ncp)), by the noncentral t.
    error = 0.6 / math.sqrt(SEEDS)
    critical = stats.t.ppf(0.95, SEEDS - 1)
    one = stats.nct.sf(critical, SEEDS - 1, 1.0 / error)
    assert share_shown(0.0) == pytest.approx(2 * one - 1, abs=0.02)
    assert share_shown(0.0) > 0.95 > share_shown(0.6)


def test_what_gives_no_spread():
    assert equivalence_p([0.1], 1.0) == 1.0
    assert equivalence_p([0.1, 0.1], 1.0) == 0.0 and equivalence_p([2.0, 2.0], 1.0) == 1.0
    with pytest.raises(ValueError, match="margin"):
        equivalence_p([0.1, 0.2], 0.0)


def found(margin: float | None, *others: list[float]) -> list[Comparison]:
    reference = [0.80, 0.81, 0.79, 0.80, 0.82]
    cells = [cell("uniform", reference)]
    cells += [
        cell(f"other{n}", [a + b for a, b in zip(reference, more, strict=True)])
        for n, more in enumerate(others)
    ]
    compared = pairs(cells, reference="uniform", controls=controls_among([]))
    return corrected(
        comparisons(
            compared, metric="accuracy", better="higher", seeds=range(5), rows={}, margin=margin
        )
    )


CLOSE = [0.001, -0.001, 0.0, 0.001, -0.001]
FAR = [0.02, -0.02, 0.03, -0.03, 0.01]


def test_the_words_say_which_cells_are_equivalent_and_which_are_not_shown_to_be():
    close, far = found(0.005, CLOSE, FAR)
    assert equivalent(close) and not equivalent(far)
    assert "Equivalent to uniform-4 within 0.50 points: p" in sentence(close)
    assert "Not shown to be equivalent to uniform-4 within 0.50 points: p" in sentence(far)
    assert "corrected for 2" in sentence(close)
    whole = study_verdict([close, far], range(5), "uniform")
    assert "Equivalent to uniform within 0.50 points: other0-4." in whole
    assert "Nothing is shown to be equivalent" in study_verdict([far], range(5), "uniform")


def test_equivalence_is_corrected_for_its_family():
    (alone,), (close, _) = found(0.005, CLOSE), found(0.005, CLOSE, CLOSE)
    assert alone.equivalence_p_holm == alone.equivalence_p
    assert close.equivalence_p_holm == pytest.approx(2 * alone.equivalence_p)


def test_without_a_margin_nothing_is_said():
    (one,) = found(None, CLOSE)
    assert one.equivalence_p is None and not equivalent(one)
    assert "as good" not in (sentence(one) + study_verdict([one], range(5), "uniform")).lower()
