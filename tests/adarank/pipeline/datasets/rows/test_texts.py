"""Rows to be continued: prompts and responses, or plain text."""

import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.rows.judging import EMPTY, HALF, NESTED, NO_FIT
from adarank.pipeline.datasets.rows.templates import parse_templates
from adarank.pipeline.datasets.rows.texts import texts
from tests.rows import carved, raw, rules

NAMES = ("instruction", "input", "output")
ALPACA = [
    ("Add.", "1 2", "3"),
    ("Greet.", "", "Hello!"),
    ("Wait.", None, "..."),
    ("Say nothing.", "", " "),
    ("", "", "What?"),
]
TEMPLATES = [
    "Human: {instruction}\n{input}\nAssistant: {output}</s>",
    "Human: {instruction}\nAssistant: {output}</s>",
]


def templated(templates: list[str], target: str = "output") -> Columns:
    return Columns(target=target, templates=parse_templates(templates))


def test_the_first_template_that_fits_is_divided_at_the_target():
    data = raw(NAMES, train=ALPACA)
    found = texts(data, rules(templated(TEMPLATES), drop=True))
    assert found.frames["train"].to_dict("records") == [
        {"prompt": "Human: Add.\n1 2\nAssistant: ", "response": "3</s>"},
        {"prompt": "Human: Greet.\nAssistant: ", "response": "Hello!</s>"},
        {"prompt": "Human: Wait.\nAssistant: ", "response": "...</s>"},
    ]
    assert found.note == {"dropped": {"train": {NO_FIT: 2}}}


def test_rows_that_no_template_fits_are_refused():
    with pytest.raises(InputError) as caught:
        texts(raw(NAMES, train=ALPACA), rules(templated(TEMPLATES)))
    (problem,) = caught.value.problems
    assert problem.what == f"2 of 5 rows with {NO_FIT}"
    shown = "instruction='Say nothing.', input='', output=' '"
    assert problem.got == f"rows 4, 5; the first: {shown}"


def test_what_follows_the_response_belongs_to_it():
    data = raw(NAMES, train=[("a", "b", "c")])
    found = texts(data, rules(templated(["{output} from {instruction}; {output}"])))
    assert found.frames["train"].to_dict("records") == [{"prompt": "", "response": "c from a; c"}]


def test_values_that_are_no_strings_are_written_out():
    data = raw(("a", "b"), train=[(True, 2.0), (7, 0.5), (["x"], 1)])
    found = texts(data, rules(templated(["{a}={b}"], "b"), drop=True))
    assert found.frames["train"].to_dict("records") == [
        {"prompt": "true=", "response": "2"},
        {"prompt": "7=", "response": "0.5"},
    ]
    assert found.note["dropped"]["train"] == {NESTED: 1}


def test_half_a_character_in_a_template_is_a_fault():
    data = raw(("a", "b"), train=[("x", "y"), ("x", "\ud83d"), ("\ud83d", "y")])
    found = texts(data, rules(templated(["{a} {b}"], "b"), drop=True))
    assert found.note["dropped"]["train"] == {HALF: 2}


def test_plain_text_is_a_response_without_a_prompt():
    data = raw(("story",), train=[("Once.",), ("",), ("Twice.",)])
    found = texts(data, rules(Columns("story"), drop=True))
    assert found.frames["train"].to_dict("records") == [
        {"prompt": "", "response": "Once."},
        {"prompt": "", "response": "Twice."},
    ]
    assert found.note == {"dropped": {"train": {EMPTY: 1}}}
    assert list(map(str, found.frames["train"].dtypes)) == ["str", "str"]


def test_texts_are_carved_too():
    data = raw(("story",), train=[(f"s{index}",) for index in range(20)])
    found = texts(data, rules(Columns("story"), division=carved(0.1, 0.2)))
    assert {split: len(table) for split, table in found.frames.items()} == {
        "train": 14,
        "validation": 2,
        "test": 4,
    }
