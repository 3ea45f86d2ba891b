"""A split in several files: side by side, as texts and their labels, or a file for each class."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from adarank.errors import input_error
from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.reading.form import Table

Files = str | tuple[str, ...] | dict[str, str]
"""A file; files whose lines belong together; or a file for each class, by the class's name."""


def file_names(files: Files) -> list[str]:
    """List the files of a split."""
    if isinstance(files, str):
        return [files]
    return list(files.values() if isinstance(files, dict) else files)


def side_by_side(tables: Mapping[str, Table], where: str) -> Table:
    """Put the columns of files beside one another, row by row.

    Raises:
        InputError: Files of different lengths, or two columns of one name.
    """
    rows = {file: table.rows for file, table in tables.items()}
    names = Counter(name for table in tables.values() for name in table.columns)
    if len(set(rows.values())) > 1:
        raise input_error(
            "files side by side must have a row for each other's",
            where=where,
            got=", ".join(f"{file}: {n} rows" for file, n in rows.items()),
            expected="as many rows in each",
            remedy="check which file lacks lines, or has some too many at its end",
        )
    doubled = [name for name, n in names.items() if n > 1]
    if doubled:
        raise input_error(
            "files side by side have columns of one name",
            where=where,
            got=", ".join(doubled),
            expected="a name of its own for each column",
            remedy=f"{key('columns')}: a name for each file of {key('format')}: lines",
        )
    columns = {name: values for t in tables.values() for name, values in t.columns.items()}
    return Table(columns, _doubled(tables), _remarks(tables))


def per_class(tables: Mapping[str, Table], target: str, where: str) -> Table:
    """Put the rows of files below one another, with their class in a column of its own.

    Args:
        tables: By the class that all rows of a file have.
        target: The name of the column of classes.
        where: The key that names the files, for errors.

    Raises:
        InputError: A file has the target's column already.
    """
    names = list(dict.fromkeys(name for table in tables.values() for name in table.columns))
    if target in names:
        raise input_error(
            "a file for each class, and a column for the class too",
            where=where,
            got=target,
            expected=f"a name for {key('target_key')} that no column has",
            remedy=f"{key('target_key')}: another name, such as class",
        )
    columns: dict[str, list[Any]] = {
        name: [v for t in tables.values() for v in t.columns.get(name, [None] * t.rows)]
        for name in names
    }
    columns[target] = [name for name, table in tables.items() for _ in range(table.rows)]
    return Table(columns, _doubled(tables), _remarks(tables))


def _doubled(tables: Mapping[str, Table]) -> frozenset[str]:
    return frozenset(name for table in tables.values() for name in table.doubled)


def _remarks(tables: Mapping[str, Table]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for table in tables.values():
        total += Counter(table.remarks)
    return dict(total)
