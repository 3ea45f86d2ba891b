"""A dataset as its source has it: text and target of each split, nothing yet judged."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from adarank.errors import InputError, input_error


@dataclass(frozen=True)
class Columns:
    """Which columns of the source are meant, by the names it gives them."""

    text: str
    target: str


@dataclass(frozen=True)
class Raw:
    """The rows of each split, in the source's order.

    Attributes:
        frames: By split, a table of Python objects with columns `text` and `target`.
        classes: Names of the classes in the source's own order, where it declares one.
        revision: The commit that the source resolved to; None where there is none.
        sha256: Digests of the source's files, by the name params.yaml gives them.
    """

    frames: dict[str, pd.DataFrame]
    classes: tuple[str, ...] | None = None
    revision: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)


def check_columns(present: Iterable[str], wanted: Columns, where: str) -> None:
    """Check that a split has both columns; InputError with those it has."""
    there = [str(name) for name in present]
    for key, name in (("text_key", wanted.text), ("target_key", wanted.target)):
        if name not in there:
            raise _no_column(key, name, there, where)


def frame_of(columns: Mapping[str, Any], wanted: Columns) -> pd.DataFrame:
    """Make a split's table of Python objects, whatever the source's own types."""
    text = pd.Series(list(columns[wanted.text]), dtype=object)
    target = pd.Series(list(columns[wanted.target]), dtype=object)
    return pd.DataFrame({"text": text, "target": target})


def _no_column(key: str, name: str, there: list[str], where: str) -> InputError:
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    alone = key.removesuffix("_key")
    return input_error(
        f"no such {alone} column in {where}",
        where=f"dataset.{key}",
        got=name,
        expected=f"one of {', '.join(there) or 'no columns at all'}",
        remedy=f"dataset.{key}: {near[0] if near else 'one of these'}",
    )
