"""A dataset as its source has it: the columns asked for, nothing yet judged."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from adarank.errors import InputError, Problem
from adarank.pipeline.datasets.keys import key as key_path
from adarank.pipeline.datasets.reading.nested import parts_of, root_of, values_of
from adarank.pipeline.datasets.rows.templates import Template, where_template


@dataclass(frozen=True)
class Columns:
    """Which columns of the source are meant, by the names it gives them.

    A dotted name stands for a part of a column's values; see `nested`.

    Attributes:
        text: The text, where no template makes one.
        target: What is to be learned.
        pair: The second text of a pair.
        templates: Texts made from columns; the first that a row has everything for is used.
    """

    text: str | None = None
    target: str | None = None
    pair: str | None = None
    templates: tuple[Template, ...] = ()

    @property
    def names(self) -> list[str]:
        """Every column asked for, once."""
        keyed = [name for name in (self.text, self.pair, self.target) if name is not None]
        filled = [name for template in self.templates for name in template.columns]
        return list(dict.fromkeys(keyed + filled))


@dataclass(frozen=True)
class Raw:
    """The rows of each split, in the source's order.

    Attributes:
        frames: By split, a table of Python objects with the columns asked for, by the source's
            own names.
        classes: Names of the target's classes in the source's own order, where it declares one.
        revision: The commit that the source resolved to; None where there is none.
        sha256: Digests of the source's files, by the name params.yaml gives them.
        remarks: By split, how many lines of its files were taken by which rule.
    """

    frames: dict[str, pd.DataFrame]
    classes: tuple[str, ...] | None = None
    revision: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, dict[str, int]] = field(default_factory=dict)


def check_columns(present: Iterable[str], wanted: Columns, where: str, hint: str = "") -> None:
    """Check that a split has every column asked for.

    Args:
        present: The columns there are.
        wanted: Those asked for.
        where: The split, for errors.
        hint: A remedy that is likelier than another name.

    Raises:
        InputError: Each column that is not there, with the key or the template that names it.
    """
    there = [str(name) for name in present]
    problems = [
        _no_column(key, template, name, there, where, hint)
        for key, template, name in _asked(wanted)
        if root_of(name, there) is None
    ]
    if problems:
        raise InputError(*problems)


def frame_of(columns: Mapping[str, Any], wanted: Columns, where: str) -> pd.DataFrame:
    """Make a split's table of Python objects, whatever the source's own types.

    Args:
        columns: The values of each column, or of those at least that are asked for.
        wanted: The columns asked for, or parts of them.
        where: The split, for errors.

    Raises:
        InputError: A dotted name that stands for nothing in any row.
    """
    values = {name: values_of(columns, name) for name in wanted.names}
    problems = [
        _no_part(key, name, columns, where)
        for key, _, name in _asked(wanted)
        if name not in columns and values[name] and all(v is None for v in values[name])
    ]
    if problems:
        raise InputError(*problems)
    return pd.DataFrame({name: pd.Series(v, dtype=object) for name, v in values.items()})


def _asked(wanted: Columns) -> Iterator[tuple[str, str, str]]:
    """Every column asked for: the key that asks, the template or "", and the name."""
    keyed = {"text_key": wanted.text, "pair_key": wanted.pair, "target_key": wanted.target}
    for name, column in keyed.items():
        if column is not None:
            yield key_path(name), "", column
    for place, template in enumerate(wanted.templates):
        for column in template.columns:
            yield where_template(place), template.text, column


def _no_column(
    key: str, template: str, name: str, there: list[str], where: str, hint: str
) -> Problem:
    near = _nearest(name, there)
    place = f"{{{near}}}" if template else f"{key}: {near}"
    other = "name one of these" + ", or leave it out" * bool(template)
    text = f"the template names a column that is not in {where}"
    return Problem(
        text if template else f"no such {key.rpartition('.')[2][: -len('_key')]} column in {where}",
        key,
        f"{{{name}}} in {template!r}" if template else name,
        f"one of {', '.join(map(_short, there)) or 'no columns at all'}",
        hint or (place if near else other),
    )


def _no_part(key: str, name: str, columns: Mapping[str, Any], where: str) -> Problem:
    root = root_of(name, columns)
    assert root is not None
    parts = parts_of(columns[root])
    return Problem(
        f"no row of {where} has this part of the column {root}",
        key,
        name,
        f"{root}, or a part of its values" + f": {', '.join(map(_short, parts))}" * bool(parts),
        f"{root}.{parts[0]}" if parts else f"{root} alone, which has no parts",
    )


def _nearest(name: str, there: list[str]) -> str:
    return next(iter(difflib.get_close_matches(name, there, n=1, cutoff=0.5)), "")


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:37]}..."
