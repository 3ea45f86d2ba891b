"""SortNet as scikit-learn has estimators, and every bad input refused by name."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import adarank
from adarank import SortNet
from adarank.ordering.lists import OrderingError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
GROUPS = np.repeat(np.arange(8), 10)
GRADES = np.digitize(X @ [1.0, -1.0, 0.5, 0.0], [0.5, 1.5])
QUICK: dict[str, Any] = {"hidden": 4, "iterations": 4, "epochs": 5, "batch_size": 32}
FITTED = SortNet(**QUICK).fit(X, GRADES, GROUPS)

RELATIVE = "scores are places within the list that is given, not values of a function of an item"


def expected_failures(_: object) -> dict[str, str]:
    return {"check_methods_subset_invariance": RELATIVE}


@parametrize_with_checks(
    [SortNet(metric="concordance", hidden=2, iterations=1, epochs=1)],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_it_is_a_public_name_of_the_library() -> None:
    assert adarank.SortNet is SortNet


def test_scores_are_places_within_each_group() -> None:
    scores = FITTED.predict(X, GROUPS)
    for group in range(8):
        assert sorted(scores[group == GROUPS]) == list(range(10))


def test_groups_need_not_lie_together() -> None:
    order = RNG.permutation(80)
    scores = FITTED.predict(X[order], GROUPS[order])
    np.testing.assert_array_equal(scores, FITTED.predict(X, GROUPS)[order])


def test_wins_rank_as_the_comparisons_say() -> None:
    model = clone(FITTED).set_params(ranking="wins").fit(X, GRADES, GROUPS)
    items = X[:10]
    both = model.compare(np.repeat(items, 10, 0), np.tile(items, (10, 1)))
    won = (both[:, 0] > both[:, 1]).reshape(10, 10).sum(1)
    ties = np.isclose(both[:, 0], both[:, 1], atol=1e-15).reshape(10, 10).sum(1) - 1
    np.testing.assert_allclose(model.predict(items), won + ties / 2)


def test_compare_is_symmetric() -> None:
    there, back = FITTED.compare(X[:40], X[40:]), FITTED.compare(X[40:], X[:40])
    np.testing.assert_allclose(there, back[:, ::-1], atol=1e-15, rtol=0)


def test_duplicate_items_are_ranked_side_by_side_and_in_their_order() -> None:
    items = np.concatenate([X[:10], X[:10]])
    scores = FITTED.predict(items)
    assert sorted(scores) == list(range(20))
    assert (scores[:10] > scores[10:]).all()


def test_a_list_of_one_and_lists_of_one_class_are_left_out_of_training_and_ranked() -> None:
    groups = np.concatenate([GROUPS, [8], np.repeat(9, 3)])
    items = np.concatenate([X, RNG.normal(size=(4, 4))])
    grades = np.concatenate([GRADES, [2, 0, 0, 0]])
    model = SortNet(**QUICK).fit(items, grades, groups)
    assert model.predict(items, groups)[80] == 0
    assert model.predict(items[:1]).tolist() == [0]


def test_given_validation_data_decides() -> None:
    model = SortNet(**QUICK).fit(
        X[:60], GRADES[:60], GROUPS[:60], validation=(X[60:], GRADES[60:], GROUPS[60:])
    )
    values = [entry.validation for entry in model.history_]
    assert model.best_iteration_ == int(np.argmax(values))


def test_a_constant_feature_is_no_trouble() -> None:
    items = X.copy()
    items[:, 3] = 7
    assert np.isfinite(SortNet(**QUICK).fit(items, GRADES, GROUPS).compare(items, items)).all()


def nan() -> np.ndarray:
    spoilt = X.copy()
    spoilt[3, 1] = np.nan
    return spoilt


BAD_FIT: dict[str, tuple[Any, Any, Any, str]] = {
    "NaN features": (nan(), GRADES, GROUPS, "NaN"),
    "NaN relevance": (X, np.where(GRADES == 2, np.nan, GRADES), GROUPS, "NaN"),
    "negative relevance": (X, GRADES - 5, GROUPS, "relevance is negative"),
    "one class": (X, np.ones(80), GROUPS, "no pair to learn from"),
    "one class within every group": (X, GROUPS, GROUPS, "no pair to learn from"),
    "every list of one item": (X, GRADES, np.arange(80), "no pair to learn from"),
    "sizes for labels": (X, GRADES, np.full(8, 10), "np.repeat"),
    "sizes that do not sum": (X, GRADES, np.full(7, 10), "not one label per row"),
    "a missing group": (X, GRADES, np.where(GROUPS == 1, np.nan, GROUPS), "a group is missing"),
    "a missing label": (X, GRADES, np.array([None, *GROUPS[1:]], dtype=object), "is missing"),
    "labels of two types": (X, GRADES, np.array(["a", *GROUPS[1:]], dtype=object), "compared"),
    "nothing relevant enough for map": (X, GRADES * 0.3, GROUPS, "map is undefined for every"),
    "rows that differ": (X[:-1], GRADES, GROUPS, "inconsistent numbers of samples"),
    "no rows": (X[:0], GRADES[:0], GROUPS[:0], "0 sample"),
}


@pytest.mark.parametrize("case", BAD_FIT)
def test_fit_refuses(case: str) -> None:
    items, grades, groups, message = BAD_FIT[case]
    metric = "map" if "map" in case else "ndcg@10"
    with pytest.raises(OrderingError, match=message):
        SortNet(**QUICK, metric=metric).fit(items, grades, groups)


def test_validation_that_measures_nothing_is_refused() -> None:
    nothing = (X[60:], np.zeros(20), GROUPS[60:])
    with pytest.raises(OrderingError, match=r"(?s)undefined for every validation list.*2 lists"):
        SortNet(**QUICK).fit(X[:60], GRADES[:60], GROUPS[:60], validation=nothing)


def test_items_of_another_number_of_features_are_refused() -> None:
    with pytest.raises(OrderingError, match="3 features, but SortNet is expecting 4"):
        FITTED.predict(X[:, :3])
    with pytest.raises(OrderingError, match="expecting 4"):
        FITTED.compare(X[:, :3], X[:, :3])


def test_a_comparator_of_another_feature_set_is_refused() -> None:
    table = pd.DataFrame(X, columns=list("abcd"))
    model = SortNet(**QUICK).fit(table, GRADES, GROUPS)
    with pytest.raises(OrderingError, match="feature names"):
        model.predict(table.rename(columns={"d": "e"}), GROUPS)


def test_comparing_unequal_numbers_of_items_is_refused() -> None:
    with pytest.raises(OrderingError, match="differ in shape"):
        FITTED.compare(X[:2], X[:3])


def test_all_bad_parameters_are_named_at_once() -> None:
    bad = SortNet(hidden=0, learning_rate=-1, selection="greedy", validation_fraction=1)  # pyright: ignore
    with pytest.raises(OrderingError) as caught:
        bad.fit(X, GRADES, GROUPS)
    named = {problem.where for problem in caught.value.problems}
    assert named == {"hidden", "learning_rate", "selection", "validation_fraction"}


def test_an_unknown_metric_is_refused_before_training() -> None:
    with pytest.raises(OrderingError, match="unknown ranking metric"):
        SortNet(metric="mrr").fit(X, GRADES, GROUPS)


def test_an_unfitted_model_says_so() -> None:
    with pytest.raises(NotFittedError):
        SortNet().predict(X)
