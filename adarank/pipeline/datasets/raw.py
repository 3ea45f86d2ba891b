"""A dataset as its source has it: the columns asked for, nothing yet judged."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from adarank.errors import InputError, Problem, input_error
from adarank.pipeline.datasets.templates import Template, where_template


@dataclass(frozen=True)
class Columns:
    """Which columns of the source are meant, by the names it gives them.

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
    """

    frames: dict[str, pd.DataFrame]
    classes: tuple[str, ...] | None = None
    revision: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)


def check_columns(present: Iterable[str], wanted: Columns, where: str) -> None:
    """Check that a split has every column asked for.

    Raises:
        InputError: Each column that is not there, with the key or the template that names it.
    """
    there = [str(name) for name in present]
    keyed = {"text_key": wanted.text, "pair_key": wanted.pair, "target_key": wanted.target}
    problems = [
        _no_column(key, name, there, where)
        for key, name in keyed.items()
        if name is not None and name not in there
    ]
    problems += [
        _no_place(place, template, name, there, where)
        for place, template in enumerate(wanted.templates)
        for name in template.columns
        if name not in there
    ]
    if problems:
        raise InputError(*problems)


def frame_of(columns: Mapping[str, Any], wanted: Columns) -> pd.DataFrame:
    """Make a split's table of Python objects, whatever the source's own types."""
    found = {name: pd.Series(list(columns[name]), dtype=object) for name in wanted.names}
    return pd.DataFrame(found)


def first_rows(raw: Raw, rows: int | None) -> Raw:
    """Keep the first rows of train alone.

    Args:
        raw: The source's rows.
        rows: How many; None for all.

    Raises:
        InputError: The source's train split has fewer.
    """
    train = raw.frames["train"]
    if rows is None:
        return raw
    if rows > len(train):
        raise input_error(
            "the source's train split has fewer rows",
            where="dataset.train_rows",
            got=rows,
            expected=f"at most {len(train)}",
            remedy="null for all of them",
        )
    return replace(raw, frames=raw.frames | {"train": train.iloc[:rows]})


def _no_column(key: str, name: str, there: list[str], where: str) -> Problem:
    return Problem(
        f"no such {key.removesuffix('_key')} column in {where}",
        f"dataset.{key}",
        name,
        _one_of(there),
        f"dataset.{key}: {_nearest(name, there) or 'one of these'}",
    )


def _no_place(place: int, template: Template, name: str, there: list[str], where: str) -> Problem:
    near = _nearest(name, there)
    return Problem(
        f"the template names a column that is not in {where}",
        where_template(place),
        f"{{{name}}} in {template.text!r}",
        _one_of(there),
        f"{{{near}}}" if near else "name one of these, or leave it out",
    )


def _one_of(there: list[str]) -> str:
    return f"one of {', '.join(there) or 'no columns at all'}"


def _nearest(name: str, there: list[str]) -> str:
    return next(iter(difflib.get_close_matches(name, there, n=1, cutoff=0.5)), "")
