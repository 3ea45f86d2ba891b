"""`file:` sources of datasets: csv, tsv, json, jsonl, parquet and lines, strictly read."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from adarank.errors import InputError, input_error
from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.raw import Columns, Raw, check_columns, frame_of
from adarank.pipeline.datasets.reading.form import Form, Format, FormError, Table, read_text
from adarank.pipeline.datasets.reading.separated import read_lines, read_separated, separator_of
from adarank.pipeline.datasets.reading.together import Files, file_names, per_class, side_by_side
from adarank.pipeline.files.whole import sha256


def read_files(folder: Path, splits: dict[str, Files], wanted: Columns, form: Form) -> Raw:
    """Read the files of each split.

    Args:
        folder: What the source names.
        splits: For each split the path of its file below `folder`, of files to be read side by
            side, or of a file for each class.
        wanted: The columns to keep.
        form: How the files are written.

    Raises:
        InputError: A file absent, of an unknown kind, damaged, or without the columns.
    """
    frames, remarks = {}, {}
    for split, files in splits.items():
        where = key(f"splits.{split}")
        table = _read_split(folder, files, wanted, form, where)
        named = ", ".join(str(folder / name) for name in file_names(files))
        _check(table, wanted, named)
        frames[split] = frame_of(table.columns, wanted, named)
        remarks |= {split: table.remarks} if table.remarks else {}
    names = [name for files in splits.values() for name in file_names(files)]
    return Raw(frames, sha256={name: sha256(folder / name) for name in names}, remarks=remarks)


def _read_split(folder: Path, files: Files, wanted: Columns, form: Form, where: str) -> Table:
    if isinstance(files, str):
        return _read(folder / files, form, where)
    if isinstance(files, dict):
        tables = {name: _read(folder / file, form, where) for name, file in files.items()}
        return per_class(tables, wanted.target or "", where)
    names = form.columns or (None,) * len(files)
    if form.columns and len(names) != len(files):
        raise input_error(
            "files side by side need a name each",
            where=key("columns"),
            got=list(names),
            expected=f"{len(files)} names, one a file of {where}",
        )
    each = (replace(form, columns=() if name is None else (name,)) for name in names)
    tables = {file: _read(folder / file, f, where) for file, f in zip(files, each, strict=True)}
    return side_by_side(tables, where)


def _read(path: Path, form: Form, where: str) -> Table:
    form = replace(form, format=_format(path, form, where))
    assert form.format is not None
    try:
        return _READERS[form.format](path, form)
    except UnicodeError as error:
        raise _undecodable(path, form, error) from None
    except LookupError as error:
        raise input_error(
            "unknown encoding",
            where=key("encoding"),
            got=str(error),
            expected="a text encoding that Python knows",
            remedy="such as utf-8, latin-1 or utf-16",
        ) from None
    except RecursionError:
        raise _damaged(path, form, "nested too deeply") from None
    except FormError as error:
        raise _damaged(path, form, str(error), error.remedy) from None
    except (pa.ArrowException, ValueError) as error:
        raise _damaged(path, form, str(error)) from None


def _format(path: Path, form: Form, where: str) -> Format:
    suffixes: dict[str, Format] = {f".{name}": name for name in _READERS if name != "lines"}
    found = form.format or suffixes.get(path.suffix.lower())
    if found is not None and path.is_file():
        return found
    raise input_error(
        "no such file" if not path.is_file() else "its name does not say how it is written",
        where=where,
        got=str(path),
        expected=f"a file that ends with {', '.join(suffixes)}, or any with {key('format')}",
        remedy=f"{key('source')} names its folder, {key('splits')} each file in it"
        if not path.is_file()
        else f"{key('format')}: lines for a text a line, or csv, tsv, json, jsonl, parquet",
    )


def _separated(path: Path, form: Form) -> Table:
    separator = form.separator or ("\t" if form.format == "tsv" else ",")
    return read_separated(read_text(path, form.encoding), form, separator)


def _lines(path: Path, form: Form) -> Table:
    return read_lines(read_text(path, form.encoding), form)


def _json(path: Path, form: Form) -> Table:
    return _columns(json.loads(read_text(path, form.encoding)), form)


def _jsonl(path: Path, form: Form) -> Table:
    rows = []
    # Not str.splitlines, which also breaks at characters that JSON strings may hold.
    for number, line in enumerate(read_text(path, form.encoding).split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise FormError(f"line {number}: {error}", "correct the line") from None
    return _columns(rows, form)


def _parquet(path: Path, form: Form) -> Table:
    table = pq.read_table(pa.BufferReader(path.read_bytes()), page_checksum_verification=True)
    table.validate(full=True)
    return Table(_named(table.to_pydict(), form))


def _columns(rows: Any, form: Form) -> Table:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("not a list of objects, one a row")
    names = dict.fromkeys(name for row in rows for name in row)
    return Table(_named({name: [row.get(name) for row in rows] for name in names}, form))


def _named(columns: dict[str, list[Any]], form: Form) -> dict[str, list[Any]]:
    if form.columns:
        what = f"a {form.format} file names its columns itself"
        raise FormError(what, f"leave {key('columns')} out")
    return columns


def _check(table: Table, wanted: Columns, where: str) -> None:
    doubled = [name for name in wanted.names if name in table.doubled]
    if doubled:
        raise input_error(
            "several columns have the name",
            where=where,
            got=", ".join(doubled),
            expected="a column of its own for each key",
            remedy=f"rename them in the header, or replace it by {key('columns')}",
        )
    check_columns(table.columns, wanted, where, _header_hint(table, wanted))


def _header_hint(table: Table, wanted: Columns) -> str:
    """What may be wrong with a header that has none of the columns asked for."""
    header = list(table.columns)
    if header == [wanted.text] and wanted.target is not None:
        a_list = "a list of two files (texts, labels)"
        return f"{key('splits')}: for each split {a_list}, or a file for each label"
    if not table.headed or any(name in header for name in wanted.names):
        return ""
    separator = separator_of(header, wanted.names)
    if separator is not None:
        return f"{key('separator')}: {json.dumps(separator)}"
    names = f"{key('columns')}: a name for each of its {table.headed} fields"
    return f"name one of these; or, where the first line is no header, {names}"


def _undecodable(path: Path, form: Form, error: UnicodeError) -> InputError:
    return input_error(
        f"the file is not {form.encoding} text",
        where=str(path),
        got=str(error),
        expected=f"{form.encoding}, as {key('encoding')} says",
        remedy=f"{key('encoding')}: the one it was written in, such as latin-1 or utf-16",
    )


def _damaged(path: Path, form: Form, got: str, remedy: str = "") -> InputError:
    return input_error(
        "the file is damaged or of another form",
        where=str(path),
        got=got,
        expected=f"{form.format}, as its suffix or {key('format')} says",
        remedy=remedy or f"check its suffix, {key('separator')} and its quotes",
    )


_READERS: dict[Format, Callable[[Path, Form], Table]] = {
    "csv": _separated,
    "tsv": _separated,
    "json": _json,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "lines": _lines,
}
