"""Ranking metrics: by hand, against a plain loop, and against ir-measures."""

from math import log2

import ir_measures
import numpy as np
import pytest

from adarank.errors import InputError
from adarank.ordering.metrics import (
    average_precision,
    by_list,
    concordance,
    list_metric,
    ndcg,
    precision,
    ranked_by,
)

RNG = np.random.default_rng(0)
LISTS = [RNG.integers(0, 3, size=size) for size in (1, 2, 5, 9, 12, 30, 120) for _ in range(4)]
RELEVANT = [grades for grades in LISTS if grades.any()]


def by_ir_measures(measure, grades: np.ndarray) -> float:
    qrels = [ir_measures.Qrel("q", f"d{i}", int(grade)) for i, grade in enumerate(grades)]
    run = [ir_measures.ScoredDoc("q", f"d{i}", -float(i)) for i in range(len(grades))]
    return ir_measures.calc_aggregate([measure], qrels, run)[measure]


@pytest.mark.parametrize("n", [1, 3, 5, 10])
@pytest.mark.parametrize("grades", RELEVANT, ids=str)
def test_as_ir_measures_has_it(grades: np.ndarray, n: int) -> None:
    gains = ir_measures.nDCG(gains={1: 1, 2: 3})
    assert ndcg(grades, n, "standard") == pytest.approx(by_ir_measures(gains @ n, grades))
    assert ndcg(grades, discount="standard") == pytest.approx(by_ir_measures(gains, grades))
    assert precision(grades, n) == pytest.approx(by_ir_measures(ir_measures.P @ n, grades))
    assert average_precision(grades) == pytest.approx(by_ir_measures(ir_measures.AP, grades))


@pytest.mark.parametrize("grades", RELEVANT, ids=str)
def test_letors_discount_leaves_the_second_place_whole(grades: np.ndarray) -> None:
    def dcg(values: np.ndarray) -> float:
        total = 0.0
        for place, grade in enumerate(values[:5], start=1):
            total += (2.0**grade - 1) / (1 if place == 1 else log2(place))
        return total

    expected = dcg(grades) / dcg(np.sort(grades)[::-1])
    assert ndcg(grades, 5, "letor") == pytest.approx(expected)


def test_the_first_two_places_are_worth_the_same_in_letor() -> None:
    assert ndcg([0, 1], 2, "letor") == 1
    assert ndcg([0, 1], 2, "standard") == pytest.approx(1 / log2(3))


def test_lists_without_relevant_items() -> None:
    metric = list_metric("map")
    ranked = [[1, 0], [0, 0], [0, 1]]
    assert by_list(metric, ranked, "zero") == [1, 0, 0.5]
    assert by_list(metric, ranked, "one") == [1, 1, 0.5]
    assert by_list(metric, ranked, "skip") == [1, 0.5]
    assert [list_metric(name)(np.zeros(3)) for name in ("ndcg@2", "p@1", "concordance")] == [
        None
    ] * 3


def test_concordance_is_kendalls_tau_rescaled() -> None:
    assert concordance([3.5, -1, -2]) == 1
    assert concordance([-2, -1, 3.5]) == 0
    assert concordance([1, 2, 0]) == pytest.approx(2 / 3)
    assert concordance([1, 1, 0]) == 1


def test_equal_scores_keep_the_order_of_the_items() -> None:
    assert ranked_by([1, 2, 1, 2], [10, 11, 12, 13]).tolist() == [11, 13, 10, 12]


@pytest.mark.parametrize("name", ["ndgc", "p", "p@0", "p@x", "map@3", "ndcg@", "ndcg@-1"])
def test_an_unknown_metric_is_named(name: str) -> None:
    with pytest.raises(InputError, match="unknown ranking metric"):
        list_metric(name)
