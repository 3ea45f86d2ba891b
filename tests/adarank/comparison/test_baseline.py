"""Constant answers: their metrics against scikit-learn's, and who beats them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier, DummyRegressor

from adarank.comparison.baseline import beats, check_baseline, commonest_label, mean_answer

labels = st.lists(st.integers(0, 4), min_size=1, max_size=40)


@given(train=labels, test=labels)
def test_the_commonest_label_is_the_librarys_dummy(train: list[int], test: list[int]) -> None:
    found = commonest_label(train, test)
    # Of equally common labels the library takes the smallest, and this one the first.
    first = max(dict.fromkeys(train), key=train.count)
    dummy = DummyClassifier(strategy="constant", constant=first).fit(
        np.zeros((len(train), 1)), train
    )
    predicted = dummy.predict(np.zeros((len(test), 1)))
    assert found.metrics["accuracy"] == pytest.approx(float(sk.accuracy_score(test, predicted)))
    zero: Any = 0
    macro = sk.f1_score(test, predicted, average="macro", zero_division=zero)
    assert found.metrics["macro_f1"] == pytest.approx(float(macro))
    assert found.metrics["matthews"] == 0.0 and found.metrics["loss"] >= 0


def test_a_uniform_train_split_has_the_loss_of_a_fair_guess() -> None:
    assert commonest_label([0, 1] * 50, [0, 1]).metrics["loss"] == pytest.approx(np.log(2))


def test_written_answers_are_labels_too() -> None:
    found = commonest_label(["yes", "no", "yes"], ["yes", "maybe"], "the commonest answer")
    assert found.metrics["exact_match"] == 0.5 and found.answer == "the commonest answer"


def test_the_mean_is_the_librarys_dummy() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(2, 3, 50), rng.normal(2, 3, 20)
    found = mean_answer(train, test).metrics
    predicted = DummyRegressor().fit(np.zeros((50, 1)), train).predict(np.zeros((20, 1)))
    assert found["mae"] == pytest.approx(float(sk.mean_absolute_error(test, predicted)))
    assert found["rmse"] == pytest.approx(float(sk.root_mean_squared_error(test, predicted)))
    assert found["pearson"] == found["spearman"] == 0.0


def test_a_correlation_must_be_told_from_zero() -> None:
    # The critical value of Fisher's z at 5 %, two-sided, for 103 rows: tanh(1.96 / 10) = 0.1935.
    kwargs: dict[str, Any] = {"metric": "pearson", "better": "higher", "n": 103}
    assert not beats(0.193, 0.0, **kwargs) and beats(0.194, 0.0, **kwargs)
    assert not beats(-0.9, 0.0, **kwargs) and not beats(None, 0.0, **kwargs)
    assert beats(1.0, 0.0, **kwargs) and not beats(-1.0, 0.0, **kwargs)


def cell(name: str, values: list[float | None]) -> dict[str, Any]:
    rows = [{"seed": s, "split": "test", "n": 50, "headline": v} for s, v in enumerate(values)]
    return {"cell": name, "seeds": rows}


def test_a_cell_beats_it_with_one_seed_that_does() -> None:
    baseline = commonest_label([0, 0, 1], [0, 0, 1, 1, 1])
    cells = [cell("a", [0.4, 0.4]), cell("b", [0.4, 0.41]), cell("c", []), cell("d", [None, 0.2])]
    found = check_baseline(cells, baseline, metric="accuracy", better="higher")
    assert found is not None and found.value == 0.4
    assert found.beaten == {"a": False, "b": True, "d": False} and not found.nothing_learned
    assert found.not_beaten_by == ["a", "d"]


def test_a_metric_without_a_baseline_is_not_checked() -> None:
    baseline = commonest_label([0], [0])
    assert check_baseline([cell("a", [0.1])], baseline, metric="rouge", better="higher") is None
