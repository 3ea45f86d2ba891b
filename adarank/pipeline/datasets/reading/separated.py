"""Files of separated fields (csv, tsv) and files with a text a line."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.reading.form import EXTRA, SHORT, SPANNING, Form, FormError, Table

SEPARATORS = (",", ";", "\t", "|")


def read_separated(text: str, form: Form, separator: str) -> Table:
    """Read fields between separators.

    Blanks around the header's names are no part of them. Where a blank follows every separator
    of the header, blanks that begin a field are no part of the fields either. Blank lines are no
    rows. A line with fewer fields than columns leaves the last ones None; for one with more see
    `Form.extra_fields`. Columns without a name are left out.

    Args:
        text: The file's.
        form: Whether quotes enclose fields, the columns where no header names them.
        separator: One character.

    Raises:
        FormError: An open quote, a line with too many fields, or columns that cannot be; all with
            the line's number.
    """
    lines = _rows(text, form, separator)
    names = list(form.columns) or [name.strip() for name in next(lines, (0, 0, [""]))[2]]
    kept: list[list[str]] = []
    remarks: Counter[str] = Counter()
    longest = 0
    for first, last, row in lines:
        if row == names and form.columns and not kept:
            raise _header_there(first)
        longest = max(longest, len(row))
        remarks += Counter({SHORT: len(row) < len(names), EXTRA: len(row) > len(names)})
        remarks += Counter({SPANNING: last > first})
        kept.append(_fitted(row, names, form, separator, first))
    if kept and form.columns and longest < len(names):
        raise FormError(
            f"at most {longest} fields a line, {len(names)} names",
            f"{key('columns')}: a name for each field, or {key('separator')}",
        )
    return replace(_table(names, kept, dict(remarks)), headed=0 if form.columns else len(names))


def read_lines(text: str, form: Form) -> Table:
    r"""Take each line for a row, blank ones too: only `\n` and `\r\n` end a line.

    Raises:
        FormError: More than one column is named.
    """
    if len(form.columns) > 1:
        raise FormError(
            f"{len(form.columns)} names for lines that are one column",
            f"{key('columns')}: one name, or {key('format')}: csv or tsv",
        )
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return Table({(*form.columns, "text")[0]: lines if lines[-1] else lines[:-1]})


def separator_of(header: list[str], wanted: list[str]) -> str | None:
    """Guess which separator would have divided a header that is a single name."""
    if len(header) != 1:
        return None
    for separator in SEPARATORS:
        if set(wanted) <= {name.strip() for name in header[0].split(separator)}:
            return separator
    counts = {separator: header[0].count(separator) for separator in SEPARATORS}
    return max(counts, key=lambda s: counts[s]) if any(counts.values()) else None


def _rows(text: str, form: Form, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """Return the rows that are not blank, with their first and last line's numbers."""
    csv.field_size_limit(2**31 - 1)  # whole documents are longer than its default
    quoting: Any = csv.QUOTE_NONE if form.quoting == "none" else csv.QUOTE_MINIMAL
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        quoting=quoting,
        skipinitialspace=_blanks_follow(text, form, separator),
        strict=True,
    )
    while True:
        first = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _torn(first, reader.line_num, error, form) from None
        if row is None:
            return
        if row:
            yield first, reader.line_num, row


def _blanks_follow(text: str, form: Form, separator: str) -> bool:
    fields = text.partition("\n")[0].split(separator)[1:]
    return not form.columns and bool(fields) and all(field[:1] == " " for field in fields)


def _fitted(row: list[str], names: list[str], form: Form, separator: str, line: int) -> list[str]:
    last = len(names) - 1
    if len(row) <= len(names):
        return row
    if form.extra_fields == "refuse":
        raise FormError(
            f"line {line}: {len(row)} fields for {len(names)} columns",
            f"fix the line, or {key('extra_fields')}: drop (the fields beyond), or join (to the "
            f"last column); {key('quoting')}: none where quotes are text",
        )
    return row[: last + 1] if form.extra_fields == "drop" else _joined(row, last, separator)


def _joined(row: list[str], last: int, separator: str) -> list[str]:
    return [*row[:last], separator.join(row[last:])]


def _table(names: list[str], rows: list[list[str]], remarks: dict[str, int]) -> Table:
    doubled = frozenset(name for name in names if name and names.count(name) > 1)
    # Without rows too, every column is there.
    values = list(zip_longest(*rows)) or [()] * len(names)
    values += [(None,) * len(rows)] * (len(names) - len(values))
    columns = {
        name: list(column)
        for name, column in zip(names, values, strict=True)
        if name and name not in doubled
    }
    return Table(columns, doubled, remarks)


def _torn(first: int, last: int, error: csv.Error, form: Form) -> FormError:
    lines = f"line {first}" if last <= first else f"lines {first} to {last}"
    none = f"{key('quoting')}: none where quotes are text; " if form.quoting != "none" else ""
    return FormError(f"{lines}: {error}", f"{none}else correct the quotes there")


def _header_there(line: int) -> FormError:
    return FormError(
        f"line {line} holds the names of the columns itself",
        f"leave {key('columns')} out where the first line is a header",
    )
