"""Rows with one of a few names for target."""

import re

import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.rows.judging import EMPTY, EMPTY_PAIR, HALF, NO_PAIR, NO_TEXT
from adarank.pipeline.datasets.rows.labels import NO_CLASS, NO_LABEL, UNSEEN, labels
from tests.rows import raw, rules


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (["b", "a", "C"], ["C", "a", "b"]),
        (["10", "9", "-1"], ["-1", "9", "10"]),
        ([10, 9.0, "9 "], ["9", "10"]),
        ([True, False], ["false", "true"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["0", "1.0", "0.0", 1, 0.0, "-1.00"], ["-1", "0", "1"]),
        (["1.5", "v1.0", "2.0"], ["1.5", "2", "v1.0"]),
    ],
)
def test_class_ids_follow_sorted_names(targets, names):
    rows = [("t", target) for target in targets]
    found = labels(raw(train=rows, test=rows), rules(num_classes=len(names)))
    assert found.note["labels"] == names
    told = [names[index] for index in found.frames["test"]["label"]]
    assert told == [_name(target) for target in targets]
    assert str(found.frames["train"]["label"].dtype) == "int64"
    assert list(found.frames["train"].columns) == ["text", "label"]


def _name(target: object) -> str:
    if isinstance(target, bool):
        return str(target).lower()
    text = str(int(target)) if isinstance(target, float) else str(target).strip()
    return text.split(".")[0] if text in ("0.0", "1.0", "-1.00", "2.0") else text


@pytest.mark.parametrize(("text", "label"), [("half \ud83d", "x"), ("whole", "x\udc00")])
def test_half_a_character_is_a_fault_of_its_row(text, label):
    rows = [("a", "x"), (text, label), ("b", "y")]
    with pytest.raises(InputError, match=re.escape(f"1 of 3 rows with {HALF}")):
        labels(raw(train=rows), rules())
    found = labels(raw(train=rows), rules(drop=True))
    assert found.note == {"labels": ["x", "y"], "dropped": {"train": {HALF: 1}}}
    assert list(found.frames["train"]["text"]) == ["a", "b"]


def test_declared_classes_are_found_however_they_are_written():
    rows = [("a", "1.0"), ("b", 0), ("c", "1")]
    found = labels(raw(classes=("1.0", "0.0"), train=rows), rules())
    assert found.note["labels"] == ["1", "0"]
    assert list(found.frames["train"]["label"]) == [0, 1, 0]


def test_declared_order_of_classes_is_kept():
    rows = [("t", name) for name in ("sad", "glad")]
    data = raw(classes=("sad", "unused", "glad"), train=rows, test=rows)
    found = labels(data, rules())
    assert found.note["labels"] == ["sad", "glad"]
    assert list(found.frames["test"]["label"]) == [0, 1]


BAD = [("a", "x"), (" ", "y"), (None, "x"), (float("nan"), "x"), (7, "x"), ("b", ""), ("c", "y")]
BAD_TEST = [("a", "z"), ("b", 0.5), ("c", ["x"]), ("d", None), ("e", "x"), ("f", float("nan"))]


def test_bad_rows_are_refused_with_their_counts():
    with pytest.raises(InputError) as caught:
        labels(raw(train=BAD, test=BAD_TEST), rules())
    said = str(caught.value)
    assert f"dataset, train split: 3 of 7 rows with {EMPTY}" in said
    assert "rows 2, 3, 4; the first: text=' ', label='y'" in said
    assert f"dataset, train split: 1 of 7 rows with {NO_TEXT}" in said
    assert f"dataset, train split: 1 of 7 rows with {NO_LABEL}" in said
    assert f"dataset, test split: 1 of 6 rows with {UNSEEN}" in said
    assert f"dataset, test split: 2 of 6 rows with {NO_CLASS}" in said
    assert "dataset.bad_rows: drop" in said


def test_bad_rows_are_dropped_and_counted():
    found = labels(raw(train=BAD, test=BAD_TEST), rules(num_classes=2, drop=True))
    assert found.note["dropped"] == {
        "train": {EMPTY: 3, NO_LABEL: 1, NO_TEXT: 1},
        "test": {UNSEEN: 1, NO_CLASS: 2, NO_LABEL: 2},
    }
    assert list(found.frames["train"]["text"]) == ["a", "c"]
    assert list(found.frames["test"]["text"]) == ["e"]


def test_a_label_that_only_bad_rows_of_train_have_is_unseen():
    data = raw(train=[("a", "x"), ("b", "y"), ("", "z")], test=[("c", "z"), ("d", "x")])
    found = labels(data, rules(drop=True))
    assert found.note["dropped"]["test"] == {UNSEEN: 1}


def test_the_second_text_of_a_pair_is_judged_like_the_first():
    rows = [("a", "b", "x"), ("c", " ", "x"), ("", None, "y"), ("d", 3, "y"), ("e", "f", "y")]
    data = raw(("one", "two", "label"), train=rows, test=rows)
    columns = Columns("one", "label", pair="two")
    found = labels(data, rules(columns, drop=True))
    assert found.note["dropped"]["train"] == {EMPTY: 1, EMPTY_PAIR: 1, NO_PAIR: 1}
    assert found.frames["train"].to_dict("records") == [
        {"text": "a", "pair": "b", "label": 0},
        {"text": "e", "pair": "f", "label": 1},
    ]
    with pytest.raises(InputError, match=f"1 of 5 rows with {EMPTY_PAIR}"):
        labels(data, rules(columns))


@pytest.mark.parametrize(
    ("train", "test", "num_classes", "told"),
    [
        ([("a", "x"), ("b", "x")], [("a", "x")], None, "fewer than two classes"),
        ([], [("a", "x")], None, r"dataset\.splits\.train: the split is empty"),
        ([("a", "x"), ("b", "y")], [("a", "x")], 3, "2 in train: x, y"),
        ([("a", "x"), ("b", "y")], [], None, r"dataset\.splits\.test: the split is empty"),
        ([("a", "x"), ("b", "y")], [("a", "z")], None, "none usable"),
    ],
)
def test_classes_and_rows_there_must_be(train, test, num_classes, told):
    with pytest.raises(InputError, match=told):
        labels(raw(train=train, test=test), rules(num_classes=num_classes, drop=True))


def test_where_no_row_is_usable_dropping_is_no_remedy():
    rows = [("a", None), ("b", None)]
    with pytest.raises(InputError) as caught:
        labels(raw(train=rows, test=rows), rules())
    assert "drop" not in str(caught.value) and "2 of 2 rows" in str(caught.value)


def test_a_long_row_is_shown_shortened():
    rows = [("word " * 500, None), ("b", "x")]
    with pytest.raises(InputError) as caught:
        labels(raw(train=rows, test=rows), rules())
    assert "label=None" in str(caught.value.problems[0].got)
    assert len(str(caught.value.problems[0].got)) < 150
