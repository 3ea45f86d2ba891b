"""Means and intervals against scipy and closed forms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from adarank.comparison.significance import estimate, paired
from adarank.errors import RunError

values = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=2, max_size=12)


@given(values=values, confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_interval_is_students(values: list[float], confidence: float) -> None:
    found = estimate(values, confidence)
    assert found.low is not None and found.high is not None and found.sd is not None
    error = float(reference.sem(values))
    if error == 0:
        assert found.low == found.high == found.mean
    else:
        low, high = reference.t.interval(
            confidence, len(values) - 1, loc=math.fsum(values) / len(values), scale=error
        )
        assert found.low == pytest.approx(low, rel=1e-9, abs=1e-6)
        assert found.high == pytest.approx(high, rel=1e-9, abs=1e-6)


def test_by_hand() -> None:
    found = estimate([1.0, 2.0, 3.0])
    assert (found.n, found.mean, found.sd) == (3, 2.0, 1.0)
    # t(0.975, 2) = 4.302653, from any printed table.
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)


def test_one_value_has_no_spread() -> None:
    found = estimate([0.9])
    assert (found.n, found.mean) == (1, 0.9)
    assert found.sd is None and found.low is None and found.high is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_finite_is_refused_and_placed(bad: float) -> None:
    with pytest.raises(RunError, match="value 2 of 3"):
        estimate([1.0, bad, 2.0])


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_confidence_outside_zero_one(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        estimate([1.0, 2.0], confidence)


def test_no_values_at_all() -> None:
    with pytest.raises(ValueError, match="0 values"):
        estimate([])


def test_pairing_takes_out_what_the_seeds_share() -> None:
    luck = {0: 0.0, 1: 5.0, 2: -3.0}
    better = {seed: value + 1.0 for seed, value in luck.items()}
    found = paired(better, luck)
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(1.0)
    assert found.difference.sd == pytest.approx(0.0, abs=1e-12)
    assert found.unpaired == ()


def test_an_unpaired_seed_is_named_and_left_out() -> None:
    found = paired({0: 1.0, 1: 2.0, 7: 9.0}, {0: 0.5, 1: 1.0, 3: 0.0})
    assert found.unpaired == (3, 7)
    assert found.difference is not None
    assert (found.difference.n, found.difference.mean) == (2, 0.75)


def test_nothing_shared_has_no_difference() -> None:
    assert paired({0: 1.0}, {1: 1.0}).difference is None


@given(values=values)
def test_difference_of_swapped_settings_is_mirrored(values: list[float]) -> None:
    first = dict(enumerate(values))
    second = dict(enumerate(reversed(values)))
    there, back = paired(first, second).difference, paired(second, first).difference
    assert there is not None and back is not None and there.low is not None
    assert there.mean == pytest.approx(-back.mean, abs=1e-6)
    assert back.high is not None
    assert there.low == pytest.approx(-back.high, abs=1e-5)
