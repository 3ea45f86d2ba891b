"""Texts made from a row's columns: `Human: {instruction}`, filled in and nothing else."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from adarank.errors import InputError, Problem
from adarank.pipeline.datasets.keys import key

# Letters first, so that {0} and {} are none; parts of nested values after dots; no bracket.
_NAME = re.compile(r"[^\W\d][\w -]*(\.[\w -]+)*")


@dataclass(frozen=True)
class Template:
    """A text with places for columns.

    Attributes:
        text: As params.yaml has it; `{{` and `}}` stand for braces.
        parts: Literal text, braces already single, and the column that follows it; None after
            the last.
    """

    text: str
    parts: tuple[tuple[str, str | None], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it names, each once, in the order of their first places."""
        return tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def fits(self, row: Mapping[str, str | None]) -> bool:
        """Return whether the row has text for every column that it names."""
        return all((row[name] or "").strip() for name in self.columns)

    def fill(self, row: Mapping[str, str | None]) -> str:
        """Fill in a row's values; the row must fit."""
        return "".join(literal + (row[name] or "" if name else "") for literal, name in self.parts)

    def before(self, column: str) -> "Template":
        """The part that ends where `column` first stands; empty if that is the beginning."""
        parts = self.parts[: self._place(column) + 1]
        return Template(self.text, (*parts[:-1], (parts[-1][0], None)))

    def since(self, column: str) -> "Template":
        """The part from where `column` first stands to the end."""
        place = self._place(column)
        return Template(self.text, (("", column), *self.parts[place + 1 :]))

    def _place(self, column: str) -> int:
        return [name for _, name in self.parts].index(column)


def parse_templates(texts: Sequence[str]) -> tuple[Template, ...]:
    """Read templates.

    Args:
        texts: Each with columns' names in braces, such as `{question}`, or parts of columns, such
            as `{answers.text.0}`, and nothing else there.

    Raises:
        InputError: Every template that is none: braces that do not pair, a place that is no
            plain name (`{0}`, `{a[0]}`, `{a!r}`, `{a:>9}`), or no place at all.
    """
    faults = [(place, text, _fault(text)) for place, text in enumerate(texts)]
    problems = [
        Problem(
            fault,
            where_template(place),
            text,
            "text with columns' names in braces, such as Question: {question}",
            "write {{ and }} for braces that are meant as such",
        )
        for place, text, fault in faults
        if fault
    ]
    if problems:
        raise InputError(*problems)
    return tuple(
        Template(text, tuple((literal, name) for literal, name, _, _ in Formatter().parse(text)))
        for text in texts
    )


def where_template(place: int) -> str:
    """Name a template of params.yaml, by its place in the list, from 0."""
    return key(f"templates[{place}]")


def _fault(text: str) -> str:
    try:
        places = [place[1:] for place in Formatter().parse(text) if place[1] is not None]
    except ValueError as error:
        return f"not a template: {str(error).lower()}"
    for name, form, conversion in places:
        if not _NAME.fullmatch(name or "") or form or conversion:
            return f"not the plain name of a column: {_as_written(name, form, conversion)}"
    return "" if places else "a template without any column"


def _as_written(name: str | None, form: str | None, conversion: str | None) -> str:
    return "{" + (name or "") + f"!{conversion}" * bool(conversion) + f":{form}" * bool(form) + "}"
