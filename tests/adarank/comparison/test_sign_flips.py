"""The tests over seeds and their correction: closed forms, scipy, and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from adarank.comparison.significance import (
    FLIPS,
    detectable,
    holm,
    paired,
    sign_flip_floor,
    sign_flip_p,
    t_p,
)
from adarank.errors import RunError

numbers = st.lists(st.integers(-50, 50).map(lambda k: k / 8), min_size=2, max_size=8)
ps = st.lists(st.floats(0, 1), max_size=12)


def test_three_of_one_sign_give_exactly_a_quarter() -> None:
    assert sign_flip_p([0.1, 0.2, 0.3]) == 0.25 == sign_flip_floor(3)
    assert sign_flip_p([-5.0, -1.0, -2.0]) == 0.25


def test_by_hand() -> None:
    # Of the eight sums of +-1 +-2 +-3, six are at least 2 away from zero, which 3 + 1 - 2 is.
    assert sign_flip_p([3.0, 1.0, -2.0]) == 0.75


@pytest.mark.parametrize("n", [1, 2, 5, 10, 13])
def test_the_floor_is_what_all_of_one_sign_reach(n: int) -> None:
    assert sign_flip_floor(n) == 2 / 2**n
    assert sign_flip_p([1.0] * n) == sign_flip_floor(n)


def test_many_pairs_are_sampled_the_same_every_time() -> None:
    many = np.random.default_rng(3).normal(0.4, 1, size=30).tolist()
    assert sign_flip_p(many) == sign_flip_p(many)
    assert sign_flip_p(many) == pytest.approx(t_p(many), abs=0.02)
    assert sign_flip_p([1.0] * 30) == sign_flip_floor(30) == 1 / (FLIPS + 1)


@given(differences=numbers)
def test_flips_are_counted_as_a_plain_loop_counts_them(differences: list[float]) -> None:
    n, found = len(differences), abs(sum(differences))
    signs = [[1 if code >> i & 1 else -1 for i in range(n)] for code in range(2**n)]
    sums = [abs(sum(s * d for s, d in zip(row, differences, strict=True))) for row in signs]
    assert sign_flip_p(differences) == sum(value >= found for value in sums) / 2**n


@given(differences=numbers)
def test_sides_swapped_change_no_p(differences: list[float]) -> None:
    turned = [-value for value in differences]
    assert sign_flip_p(differences) == sign_flip_p(turned)
    assert t_p(differences) == pytest.approx(t_p(turned))


@given(first=st.lists(st.floats(0, 1), min_size=3, max_size=9, unique=True), shift=st.floats(0, 1))
def test_t_is_scipys(first: list[float], shift: float) -> None:
    second = [shift * value**2 for value in first]
    found = paired(dict(enumerate(first)), dict(enumerate(second))).differences
    if len(set(found)) > 1:
        wanted = float(reference.ttest_rel(first, second).pvalue)
        assert t_p(found) == pytest.approx(wanted, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("each", "p"), [(0.0, 1.0), (0.3, 0.25)])
def test_without_spread_t_gives_way_to_the_flips(each: float, p: float) -> None:
    assert t_p([each] * 3) == sign_flip_p([each] * 3) == p


def test_one_pair_shows_nothing() -> None:
    assert t_p([0.7]) == sign_flip_p([0.7]) == sign_flip_floor(1) == 1.0


@pytest.mark.parametrize("test", [sign_flip_p, t_p])
def test_what_cannot_be_tested_is_refused(test: object) -> None:
    assert callable(test)
    with pytest.raises(RunError, match="value 2 of 3"):
        test([1.0, math.nan, 2.0])
    with pytest.raises(ValueError, match="no differences"):
        test([])


def test_subtraction_leaves_no_dust_that_would_break_ties() -> None:
    found = paired({0: 0.82, 1: 0.84, 2: 0.86}, {0: 0.80, 1: 0.82, 2: 0.84})
    assert found.differences == (0.02, 0.02, 0.02)
    assert found.difference is not None and found.difference.sd == 0.0
    tiny = paired({0: 3e-9, 1: 5e-9}, {0: 1e-9, 1: 1e-9})
    assert tiny.differences == pytest.approx((2e-9, 4e-9), rel=1e-9)


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04, and never less than before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.3]) == [0.3] and holm([]) == []


@given(ps=ps)
def test_holm_keeps_the_order_and_never_lowers(ps: list[float]) -> None:
    corrected = holm(ps)
    assert all(c >= p and c <= 1 for c, p in zip(corrected, ps, strict=True))
    assert all(c <= min(1, len(ps) * p) + 1e-15 for c, p in zip(corrected, ps, strict=True))
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    assert [corrected[i] for i in order] == sorted(corrected)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_a_detectable_difference_is_found_four_times_in_five(n: int) -> None:
    sd = 0.7
    true = detectable(sd, n)
    assert true is not None
    draws = np.random.default_rng(n).normal(true, sd, size=(20_000, n))
    p = np.asarray(reference.ttest_1samp(draws, 0.0, axis=1).pvalue)
    assert np.mean((p <= 0.05) & (draws.mean(1) > 0)) == pytest.approx(0.8, abs=0.01)


def test_a_detectable_difference_scales_with_the_spread_and_needs_one() -> None:
    assert detectable(2.0, 5) == pytest.approx(2 * (detectable(1.0, 5) or 0))
    assert detectable(0.0, 5) is None and detectable(None, 1) is None
