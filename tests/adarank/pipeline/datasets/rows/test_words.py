"""Rows with words to be written."""

import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.rows.judging import EMPTY, HALF, NO_FIT
from adarank.pipeline.datasets.rows.templates import parse_templates
from adarank.pipeline.datasets.rows.words import NO_TARGET, NO_WORDS, words
from tests.rows import carved, raw, rules

NAMES = ("one", "two", "label")
COLUMNS = Columns(
    target="label",
    templates=parse_templates(["mrpc sentence1: {one} sentence2: {two} paraphrase:"]),
)
WORDS = {"1": "equivalent", "0": "not equivalent"}
ROWS = [("a", "b", 0), ("c", "d", 1), ("e", "f", " 1 ")]


def test_targets_become_words_and_ids_in_the_words_own_order():
    found = words(raw(NAMES, train=ROWS, test=ROWS[:1]), rules(COLUMNS, target_words=WORDS))
    table = found.frames["train"]
    assert table["text"][0] == "mrpc sentence1: a sentence2: b paraphrase:"
    assert list(table["target"]) == ["not equivalent", "equivalent", "equivalent"]
    assert list(table["label"]) == [1, 0, 0]
    assert list(map(str, table.dtypes)) == ["str", "str", "int64"]
    assert found.note["labels"] == ["equivalent", "not equivalent"]


def test_free_text_is_its_own_target():
    columns = Columns("text", "label")
    rows = [("a", "un chat"), ("b", 3.5), ("c", True)]
    found = words(raw(train=rows), rules(columns))
    assert list(found.frames["train"]["target"]) == ["un chat", "3.5", "true"]
    assert list(found.frames["train"]["label"]) == [-1, -1, -1]
    assert found.note["labels"] == []


def test_two_targets_may_share_their_words():
    shared = {"0": "bad", "1": "bad", "2": "good"}
    rows = [("a", 0), ("b", 1), ("c", 2)]
    found = words(raw(train=rows), rules(target_words=shared))
    assert list(found.frames["train"]["label"]) == [0, 0, 1]
    assert found.note["labels"] == ["bad", "good"]


def test_unusable_rows_are_counted_by_their_fault():
    bad = [("g", "", 1), ("h", "i", 2), ("j", "k", None), ("l", "m", " "), ("n", "o", [1])]
    data = raw(NAMES, train=[*ROWS, *bad])
    found = words(data, rules(COLUMNS, target_words=WORDS, drop=True))
    assert found.note["dropped"]["train"] == {NO_FIT: 1, NO_WORDS: 1, NO_TARGET: 3}
    with pytest.raises(InputError) as caught:
        words(data, rules(COLUMNS, target_words=WORDS))
    assert f"1 of 8 rows with {NO_WORDS}" in str(caught.value)
    assert "expected: a text and a target among 1, 0" in str(caught.value)


def test_the_text_of_a_column_is_judged():
    found = words(raw(train=[("a", "x"), (" ", "y")]), rules(drop=True))
    assert found.note["dropped"]["train"] == {EMPTY: 1}


def test_words_that_train_never_needs_are_refused():
    data = raw(NAMES, train=ROWS[1:], test=ROWS)
    with pytest.raises(InputError, match="no row of train") as caught:
        words(data, rules(COLUMNS, target_words=WORDS))
    assert caught.value.problems[0].got == "'not equivalent'"


def test_carving_keeps_the_share_of_each_words():
    rows = [(f"a {index}", "b", int(index % 4 == 0)) for index in range(80)]
    data = raw(NAMES, train=rows)
    found = words(data, rules(COLUMNS, target_words=WORDS, division=carved(0.1, 0.2)))
    shares = {split: list(table["label"]).count(0) for split, table in found.frames.items()}
    assert shares == {"train": 14, "validation": 2, "test": 4}


def test_half_a_character_is_a_fault_and_whole_numbers_are_one_target():
    data = raw(("a", "y"), train=[("x", "0.0"), ("\ud83d", 1), ("y", 1), ("z", "1.0")])
    columns = Columns(target="y", templates=parse_templates(["say {a}"]))
    found = words(data, rules(columns, drop=True, target_words={"0": "no", "1": "yes"}))
    assert list(found.frames["train"]["target"]) == ["no", "yes", "yes"]
    assert found.note["dropped"]["train"] == {HALF: 1}
