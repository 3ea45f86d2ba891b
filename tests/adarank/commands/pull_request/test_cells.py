"""Cells beside themselves: what fell too far, what is new, gone or failed, what noise allows."""

import json
from typing import Any

import pytest

from adarank.commands.pull_request.cells import (
    CellChange,
    cell_changes,
    compared_metric,
    noise,
    verdict_changes,
)
from adarank.commands.pull_request.summary import Summary, parsed
from adarank.errors import InputError


def cell(mean: float | None, half: float | None = 0.01, n: int = 3, **more: Any) -> dict[str, Any]:
    """A cell with its accuracy, and a loss that is one less it."""
    ends = {"low": None, "high": None}
    told: dict[str, Any] = {}
    for name, value in (("accuracy", mean), ("loss", None if mean is None else 1 - mean)):
        if value is not None:
            if half is not None:
                ends = {"low": value - half, "high": value + half}
            told[name] = {"n": n, "mean": value, "sd": None, **ends}
    return {"n": n, "failed": [], "metrics": told, **more}


def summary(headline: str = "accuracy", better: str = "higher", **cells: Any) -> Summary:
    value = {"headline": headline, "better": better, "cells": cells}
    return Summary.model_validate(value)


def only(base: Summary | None, head: Summary, max_drop: float | None = 0.02) -> CellChange:
    (change,) = cell_changes(base, head, max_drop)
    return change


@pytest.mark.parametrize(
    ("now", "beyond"),
    [(0.90, False), (0.95, False), (0.885, False), (0.88, False), (0.8799, True), (0.5, True)],
)
def test_only_a_fall_of_more_than_the_threshold_is_too_far(now: float, beyond: bool) -> None:
    change = only(summary(a=cell(0.9)), summary(a=cell(now)))
    assert change.drop == pytest.approx(0.9 - now)
    assert (change.beyond, change.worse) == (beyond, beyond)


@pytest.mark.parametrize(("now", "beyond"), [(0.85, False), (0.95, True)])
def test_where_lower_is_better_a_rise_is_the_fall(now: float, beyond: bool) -> None:
    base = summary("loss", "lower", a=cell(0.1))
    change = only(base, summary("loss", "lower", a=cell(1 - now)))
    assert change.drop == pytest.approx(now - 0.9) and change.beyond is beyond


def test_without_a_threshold_nothing_is_too_far() -> None:
    assert not only(summary(a=cell(0.9)), summary(a=cell(0.1)), None).beyond


def test_cells_added_and_removed_are_told_and_fail_nothing() -> None:
    changes = cell_changes(summary(a=cell(0.9), b=cell(0.9)), summary(b=cell(0.9), c=cell(0.1)), 0)
    assert [(one.name, one.state) for one in changes] == [
        ("a", "removed"),
        ("b", "kept"),
        ("c", "added"),
    ]
    assert not any(one.worse for one in changes)


def test_a_newly_failed_seed_fails_though_the_mean_rose() -> None:
    failed = [{"seed": 2, "error": "step 3: non-finite"}]
    change = only(summary(a=cell(0.9)), summary(a=cell(0.95, n=2, failed=failed)))
    assert change.newly_failed == ["seed 2: step 3: non-finite"]
    assert change.worse and not change.beyond


def test_a_seed_that_had_failed_before_is_no_news() -> None:
    failed = [{"seed": 2, "error": "x"}]
    change = only(summary(a=cell(0.9, failed=failed)), summary(a=cell(0.9, failed=failed)))
    assert change.newly_failed == [] and not change.worse


def test_a_cell_that_lost_its_result_altogether_fails() -> None:
    change = cell_changes(summary(a=cell(0.9)), summary(a=cell(None), b=cell(0.9)), 0.02)[0]
    assert (change.name, change.head, change.drop, change.worse) == ("a", None, None, True)


def test_a_renamed_headline_hides_no_fall_of_the_one_before() -> None:
    base, head = summary(a=cell(0.9)), summary("loss", "lower", a=cell(0.5))
    assert compared_metric(base, head) == "accuracy"
    assert only(base, head).beyond


def test_a_headline_that_nothing_has_any_more_is_not_compared() -> None:
    base = summary("perplexity", "lower", a=cell(0.9))
    change = only(base, summary(a=cell(0.1)))
    assert compared_metric(base, summary(a=cell(0.1))) == "accuracy"
    assert change.drop == pytest.approx(0.8)  # both have the accuracy, so that is compared
    bare = {"n": 3, "failed": [], "metrics": {"perplexity": {"n": 3, "mean": 9.0}}}
    change = only(summary("perplexity", "lower", a=bare), summary(a=cell(0.1)))
    assert change.drop is None and not change.worse


def test_without_a_base_all_is_added() -> None:
    change = only(None, summary(a=cell(0.9)))
    assert (change.state, change.drop, change.worse) == ("added", None, False)


@pytest.mark.parametrize(
    ("now", "half", "words"),
    [
        (0.87, 0.04, "within noise, 0.01 below the base's 95 % interval of ±0.04 over 3 seeds"),
        (0.87, 0.02, "outside noise, 0.01 beyond the base's 95 % interval of ±0.02 over 3 seeds"),
        (0.87, None, "one seed"),
        (0.93, 0.01, ""),
    ],
)
def test_a_fall_is_held_against_the_interval(now: float, half: float | None, words: str) -> None:
    said = noise(only(summary(a=cell(0.9, half)), summary(a=cell(now))), 0.95)
    assert said.startswith(words) and bool(said) == bool(words)


def comparison(cell: str, verdict: str, role: str = "reference") -> dict[str, str]:
    return {"cell": cell, "against": "u", "role": role, "metric": "accuracy", "verdict": verdict}


def test_comparisons_are_told_where_their_verdict_is_another() -> None:
    def told(*comparisons: dict[str, str]) -> Summary:
        value = {"headline": "accuracy", "better": "higher", "cells": {}}
        return Summary.model_validate({**value, "comparisons": comparisons})

    base = told(comparison("a", "better"), comparison("b", "worse"), comparison("gone", "better"))
    head = told(
        comparison("a", "not distinguishable"),
        comparison("b", "worse"),
        comparison("b", "worse", role="control"),
    )
    pairs = verdict_changes(base, head)
    assert [(old and old.cell, new and (new.cell, new.role)) for old, new in pairs] == [
        ("a", ("a", "reference")),
        ("gone", None),
        (None, ("b", "control")),
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{", "Invalid JSON"),
        ('{"headline": "a", "better": "higher", "cells": {}}', "tasks"),
        ('{"tasks": {"t": {"headline": "a", "better": "up"}}, "cells": {}}', "tasks.t.better"),
        ('{"tasks": {}, "cells": {"c": {}}}', "cells.c.n"),
        (
            '{"tasks": {}, "cells": {"c": {"n": 1, "metrics": {"a": {"n": 1, "mean": NaN}}}}}',
            "cells.c.metrics.a.mean",
        ),
    ],
)
def test_what_is_no_summary_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(InputError, match=where):
        parsed(text, "at the base")


def test_a_study_gives_each_task_its_own_metric_cells_and_comparisons() -> None:
    value = {
        "tasks": {
            "trec": {"headline": "accuracy", "better": "higher"},
            "wiki": {"headline": "loss", "better": "lower"},
        },
        "cells": {"trec/a-4": cell(0.9), "wiki/a-4": cell(0.8)},
        "comparisons": [comparison("a-4", "better") | {"task": "wiki"}],
    }
    study = parsed(json.dumps(value), "now")
    trec, wiki = study.of("trec"), study.of("wiki")
    assert trec is not None and wiki is not None and study.of("absent") is None
    assert (list(trec.cells), trec.comparisons) == (["trec/a-4"], [])
    assert (wiki.headline, wiki.better, list(wiki.cells)) == ("loss", "lower", ["wiki/a-4"])
    assert [(one.cell, one.against) for one in wiki.comparisons] == [("wiki/a-4", "wiki/u")]
