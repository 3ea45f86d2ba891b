"""Merge sort by any comparator, wins against all, and the share of cycles."""

from itertools import combinations
from math import ceil, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adarank.ordering.sorting import intransitivity, merge_sort, wins


def bound(n: int) -> int:
    return n * ceil(log2(n)) - 2 ** ceil(log2(n)) + 1 if n > 1 else 0


@given(st.lists(st.integers(0, 9), max_size=60))
def test_a_consistent_comparator_sorts_stably_within_n_log_n(values: list[int]) -> None:
    result = merge_sort(len(values), lambda i, j: values[i] < values[j])
    assert result.order == sorted(range(len(values)), key=lambda i: values[i])
    assert result.comparisons == len(result.compared) <= bound(len(values))


@given(st.integers(0, 40), st.randoms(use_true_random=False))
def test_random_answers_give_a_permutation_within_the_same_bound(n: int, random) -> None:
    result = merge_sort(n, lambda _i, _j: random.random() < 0.5)
    assert sorted(result.order) == list(range(n))
    assert result.comparisons <= bound(n)


def test_no_pair_is_compared_twice() -> None:
    compared = merge_sort(33, lambda i, j: (j - i) % 33 < 16).compared
    assert len({frozenset(pair) for pair in compared}) == len(compared)


def test_compared_pairs_are_in_the_order_they_were_put() -> None:
    values = [5, 2, 9, 2]
    result = merge_sort(4, lambda i, j: values[i] < values[j])
    place = {item: at for at, item in enumerate(result.order)}
    assert all(place[first] < place[after] for first, after in result.compared)


def random_margins(n: int, seed: int) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).normal(size=(n, n)), 1)
    return upper - upper.T


@pytest.mark.parametrize("seed", range(5))
def test_intransitivity_counts_cyclic_triples(seed: int) -> None:
    n, margins = 9, random_margins(9, seed)
    cycles = sum(
        abs(np.sign(margins[i, j]) + np.sign(margins[j, k]) + np.sign(margins[k, i])) == 3
        for i, j, k in combinations(range(n), 3)
    )
    assert intransitivity(margins) == pytest.approx(cycles / 84)


def test_intransitivity_of_an_order_a_cycle_ties_and_a_pair() -> None:
    scores = np.arange(7.0)
    assert intransitivity(scores[:, None] - scores[None, :]) == 0
    cycle = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0.0]])
    assert intransitivity(cycle) == 1
    assert intransitivity(np.zeros((5, 5))) == 0
    assert intransitivity(cycle[:2, :2]) == 0


def test_random_answers_have_a_quarter_of_cycles() -> None:
    found = np.mean([intransitivity(random_margins(30, seed)) for seed in range(20)])
    assert found == pytest.approx(0.25, abs=0.01)


def test_wins_count_ties_as_half() -> None:
    margins = np.array([[0, 1, 0], [-1, 0, 2], [0, -2, 0.0]])
    np.testing.assert_array_equal(wins(margins), [1.5, 1, 0.5])
