"""The study section: distinct and in range, else refused before anything runs."""

from typing import Any

import pytest
from pydantic import ValidationError

from adarank.pipeline.params.study import StudySection
from tests.schemas import cell_names


def study(**changes: Any) -> StudySection:
    good: dict[str, Any] = {
        "tasks": ["trec"],
        "signals": ["disagreement"],
        "task_signals": [],
        "strategies": ["uniform"],
        "reference": "uniform",
        "budgets": [4, 0.5],
        "seeds": [0, 1],
    }
    return StudySection.model_validate({**good, **changes})


def test_budgets_keep_the_text_they_were_given_in() -> None:
    assert cell_names(study()) == ["trec/uniform-4", "trec/uniform-0.5"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seeds", [3, 1, 3], "more than once: 3"),
        ("budgets", [4, 4.0], "more than once: 4"),
        ("strategies", ["uniform", "uniform"], "more than once: uniform"),
        ("tasks", ["trec", "trec"], "more than once: trec"),
        ("tasks", [], "at least 1 item"),
        ("signals", ["fisher", "fisher"], "more than once: fisher"),
        ("seeds", [], "at least 1 item"),
        ("seeds", [-1], "greater than or equal to 0"),
        ("seeds", [True], "valid integer"),
        ("budgets", [0], "greater than 0"),
        ("budgets", [float("inf")], "finite number"),
    ],
)
def test_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        study(**{key: value})
