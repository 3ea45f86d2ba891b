"""The verdict's level and power, by simulation through the code that makes it."""

import pytest

from adarank.comparison.significance import detectable
from bench.statistics import false_findings, power


@pytest.mark.parametrize(("family", "seeds"), [(1, 5), (8, 5), (8, 10)])
def test_the_detectable_difference_is_found_with_80_percent_power(family: int, seeds: int) -> None:
    # For one uncorrected test the difference was 1.68 sd at five seeds, and the power among eight
    # comparisons .30. 500 studies: 80 % plus and minus 4.6 % in 99 of 100 simulations.
    least = detectable(1.0, seeds, family=family)
    assert least is not None
    assert power(least, seeds, family, 500, seed=1) == pytest.approx(0.8, abs=0.046)


@pytest.mark.parametrize("family", [1, 4, 8])
def test_more_seeds_never_weaken_the_verdict(family: int) -> None:
    # Where sign flips joined in, power fell from .67 to .57 between 7 and 8 seeds at 4 comparisons.
    found = [power(1.5, seeds, family, 200) for seeds in range(4, 11)]
    assert found == sorted(found)


def test_more_comparisons_never_strengthen_it() -> None:
    found = [power(1.5, 8, family, 200) for family in (1, 4, 8)]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(("seeds", "family"), [(3, 3), (5, 3), (10, 3), (5, 8)])
def test_where_nothing_differs_a_study_shows_something_one_time_in_twenty(
    seeds: int, family: int
) -> None:
    # 500 studies at 5 %: more than 37 in 1 of 100 such simulations.
    assert false_findings(seeds, family, 500, seed=4) <= 37 / 500
