"""Texts made from columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adarank.errors import InputError
from adarank.pipeline.datasets.rows.templates import Template, parse_templates

NAMES = st.text("abé_9- ", min_size=1, max_size=6).map(lambda name: f"n{name}")
PARTS = st.lists(st.tuples(st.text(max_size=8), NAMES, st.text(max_size=8)), min_size=1, max_size=5)


def one(text: str) -> Template:
    (template,) = parse_templates([text])
    return template


def escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def source(parts: list[tuple[str, str, str]], tail: str) -> str:
    """Write a template of literal texts, each before a column's place, and a tail."""
    return "".join(escaped(text) + f"{{{name}}}" for text, name, _ in parts) + escaped(tail)


@given(PARTS, st.text(max_size=8))
def test_filling_puts_each_value_in_its_place(parts, tail):
    template = one(source(parts, tail))
    row = {name: value for _, name, value in parts}
    assert template.fill(row) == "".join(text + row[name] for text, name, _ in parts) + tail
    assert set(template.columns) == set(row)
    assert template.fits(row) == all(value.strip() for value in row.values())


@given(PARTS, st.text(max_size=8), st.data())
def test_the_two_halves_make_the_whole(parts, tail, data):
    template = one(source(parts, tail))
    row = {name: value for _, name, value in parts}
    column = data.draw(st.sampled_from(template.columns))
    before, since = template.before(column), template.since(column)
    assert before.fill(row) + since.fill(row) == template.fill(row)
    assert column not in before.columns
    assert since.columns[0] == column
    assert since.fill(row).startswith(row[column])


def test_values_are_not_templates():
    assert one("<{a}>").fill({"a": "{b} {0} {{"}) == "<{b} {0} {{>"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{a", "not a template"),
        ("a}", "not a template"),
        ("{a} {", "not a template"),
        ("{0}", "not the plain name of a column: {0}"),
        ("{}", "not the plain name of a column: {}"),
        ("{a!r}", "not the plain name of a column: {a!r}"),
        ("{a:>9}", "not the plain name of a column: {a:>9}"),
        ("{a:{b}}", "not the plain name of a column: {a:{b}}"),
        ("{a.}", "not the plain name of a column: {a.}"),
        ("{a..b}", "not the plain name of a column: {a..b}"),
        ("{.a}", "not the plain name of a column: {.a}"),
        ("{a[0]}", "not the plain name of a column: {a[0]}"),
        ("{ a}", "not the plain name of a column: { a}"),
        ("plain {{a}}", "a template without any column"),
        ("", "a template without any column"),
    ],
)
def test_what_is_no_template(text, told):
    with pytest.raises(InputError) as caught:
        parse_templates(["{good}", text])
    (problem,) = caught.value.problems
    assert told in problem.what
    assert problem.where == "dataset.templates[1]"
    assert problem.got == text
    assert problem.remedy


def test_all_bad_templates_are_told_at_once():
    with pytest.raises(InputError) as caught:
        parse_templates(["{0}", "{a}", "{"])
    where = [problem.where for problem in caught.value.problems]
    assert where == ["dataset.templates[0]", "dataset.templates[2]"]
