"""Dotted names: parts of nested values, in columns and templates."""

import json

import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.reading.files import read_files
from adarank.pipeline.datasets.reading.form import Form
from adarank.pipeline.datasets.reading.nested import values_of
from adarank.pipeline.datasets.rows.judging import NESTED, NO_FIT
from adarank.pipeline.datasets.rows.templates import parse_templates
from adarank.pipeline.datasets.rows.texts import texts
from tests.rows import rules

ROWS = [
    {"q": "one?", "instances": [{"input": "", "output": "1"}], "a.b": "own"},
    {"q": "two?", "instances": [{"input": "x", "output": "2"}, {"output": "3"}], "a.b": "name"},
    {"q": "none?", "instances": [], "a.b": ""},
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def columns(target: str, *templates: str) -> Columns:
    return Columns(target=target, templates=parse_templates(templates))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("instances.0.output", ["1", "2", None]),
        ("instances.1.output", [None, "3", None]),
        ("instances.-1.output", [None] * 3),
        ("instances.0.output.x", [None] * 3),
        ("q", ["one?", "two?", "none?"]),
        ("a.b", ["own", "name", ""]),
    ],
)
def test_parts_of_values(name, values):
    table = {key: [row[key] for row in ROWS] for key in ROWS[0]}
    assert values_of(table, name) == values


def test_parts_fill_templates(folder):
    wanted = columns("instances.0.output", "{q} {instances.0.output}")
    found = texts(
        read_files(folder, {"train": "t.jsonl"}, wanted, Form()), rules(wanted, drop=True)
    )
    assert found.frames["train"].to_dict("records") == [
        {"prompt": "one? ", "response": "1"},
        {"prompt": "two? ", "response": "2"},
    ]
    assert found.note["dropped"]["train"] == {NO_FIT: 1}


def test_a_list_in_a_template_is_told_as_such(folder):
    wanted = columns("instances", "{q} {instances}")
    with pytest.raises(InputError) as caught:
        texts(read_files(folder, {"train": "t.jsonl"}, wanted, Form()), rules(wanted))
    assert f"3 of 3 rows with {NESTED}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected", "remedy"),
    [
        ("instances.0.outptu", "instances, or a part of its values: 0", "instances.0"),
        ("q.0", "q, or a part of its values", "q alone, which has no parts"),
    ],
)
def test_a_part_that_no_row_has(folder, name, expected, remedy):
    with pytest.raises(InputError) as caught:
        read_files(folder, {"train": "t.jsonl"}, Columns(name), Form())
    (problem,) = caught.value.problems
    assert (problem.where, problem.got) == ("dataset.text_key", name)
    assert (problem.expected, problem.remedy) == (expected, remedy)
