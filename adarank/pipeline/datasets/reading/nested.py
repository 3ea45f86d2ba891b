"""Parts of nested values: `answers.text.0` is the first entry of `text` in the column `answers`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def root_of(name: str, there: Iterable[str]) -> str | None:
    """Find the column that a name is, or is a part of.

    >>> root_of("answers.text.0", ["id", "answers"])
    'answers'
    >>> root_of("a.b", ["a", "a.b"])
    'a.b'
    """
    present, parts = set(there), name.split(".")
    heads = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((head for head in heads if head in present), None)


def values_of(columns: Mapping[str, Sequence[Any]], name: str) -> list[Any]:
    """Return a column's values, or the parts of them that a dotted name stands for.

    A part is an object's key, or an entry's number in a list, from 0. None where a value lacks it.
    """
    root = root_of(name, columns)
    assert root is not None
    path = name[len(root) + 1 :].split(".") if name != root else []
    return [_part(value, path) for value in columns[root]]


def parts_of(values: Iterable[Any]) -> list[str]:
    """List the parts that the first nested value has: keys, or numbers."""
    first = next((value for value in values if isinstance(value, dict | list) and value), {})
    return [str(part) for part in (first if isinstance(first, dict) else range(len(first)))]


def _part(value: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
