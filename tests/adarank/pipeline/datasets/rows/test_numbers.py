"""Rows with a number for target."""

import math
from decimal import Decimal

import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.rows.numbers import NO_NUMBER, numbers
from tests.rows import carved, raw, rules

NOT_NUMBERS = ["abc", "", "nan", "inf", "1_0", None, True, math.nan, -math.inf, 10**400, ["1"]]


def rows(targets: list) -> list[tuple]:
    return [(f"t{index}", target) for index, target in enumerate(targets)]


def test_numbers_and_numeric_texts_are_read_alike():
    targets = [2, "-1.5", " 3e0 ", 0.1, Decimal("0.25")]
    found = numbers(raw(train=rows(targets), test=rows(["5"])), rules())
    table = found.frames["train"]
    assert list(table["target"]) == [2.0, -1.5, 3.0, 0.1, 0.25]
    assert str(table["target"].dtype) == "float64"
    assert list(table.columns) == ["text", "target"]


def test_mean_and_population_deviation_of_train():
    found = numbers(raw(train=rows([1, 2, 3, 6]), test=rows([100])), rules())
    assert found.note["target_mean"] == 3.0
    assert found.note["target_sd"] == math.sqrt(14 / 4)


def test_they_are_those_of_the_rows_that_remain_after_carving():
    data = raw(train=rows(list(range(40))))
    found = numbers(data, rules(division=carved(0.25, 0.2)))
    sizes = {split: len(table) for split, table in found.frames.items()}
    assert sizes == {"train": 22, "validation": 10, "test": 8}
    kept = found.frames["train"]["target"]
    assert found.note["target_mean"] == pytest.approx(kept.mean())
    assert found.note["target_sd"] == pytest.approx(kept.std(ddof=0))
    assert found.note["target_mean"] != 19.5


def test_numbers_far_from_one_still_have_a_deviation():
    found = numbers(raw(train=rows([1e200, 3e200]), test=rows([0])), rules())
    assert found.note["target_mean"] == 2e200 and found.note["target_sd"] == 1e200


@pytest.mark.parametrize("target", NOT_NUMBERS, ids=repr)
def test_what_is_no_finite_number_is_refused(target):
    with pytest.raises(InputError) as caught:
        numbers(raw(train=rows([1, target, 3]), test=rows([1])), rules())
    (problem,) = caught.value.problems
    assert problem.what == f"1 of 3 rows with {NO_NUMBER}"
    assert str(problem.got).startswith("rows 2; the first: text='t1', label=")


def test_or_dropped_and_counted():
    data = raw(train=rows([1, *NOT_NUMBERS, 3]), test=rows([1, "x"]))
    found = numbers(data, rules(drop=True))
    counts = {split: found.note["dropped"][split][NO_NUMBER] for split in ("train", "test")}
    assert counts == {"train": len(NOT_NUMBERS), "test": 1}
    assert list(found.frames["train"]["target"]) == [1.0, 3.0]


def test_one_target_for_all_of_train_is_refused():
    with pytest.raises(InputError, match="every row of train has the same target") as caught:
        numbers(raw(train=rows([2, "2.0"]), test=rows([1])), rules())
    assert caught.value.problems[0].got == "2.0 in 2 rows"


def test_pairs_have_numbers_too():
    data = raw(("a", "b", "score"), train=[("x", "y", 1), ("z", "", 2), ("u", "v", "3")])
    found = numbers(data, rules(Columns("a", "score", pair="b"), drop=True))
    assert found.frames["train"].to_dict("records") == [
        {"text": "x", "pair": "y", "target": 1.0},
        {"text": "u", "pair": "v", "target": 3.0},
    ]
