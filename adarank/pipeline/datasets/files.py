"""`file:` sources of datasets: csv, tsv, json, jsonl and parquet, strictly read."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from adarank.errors import InputError, input_error
from adarank.pipeline.datasets.raw import Columns, Raw, check_columns, frame_of
from adarank.pipeline.files.whole import sha256

Table = dict[str, list[Any]]


@dataclass(frozen=True)
class Form:
    """How text files are written.

    Attributes:
        encoding: A name that Python knows.
        separator: One character, or None for the one that the suffix suggests.
    """

    encoding: str
    separator: str | None


def read_files(folder: Path, splits: dict[str, str], wanted: Columns, form: Form) -> Raw:
    """Read one file per split.

    Args:
        folder: What the source names.
        splits: The path of each split's file, below `folder`.
        wanted: The columns to keep.
        form: How csv, tsv, json and jsonl files are written.

    Raises:
        InputError: A file absent, of an unknown kind, damaged, or without the columns.
    """
    frames = {}
    for split, name in splits.items():
        path = folder / name
        table = _read(path, form, f"dataset.splits.{split}")
        check_columns(table, wanted, str(path))
        frames[split] = frame_of(table, wanted)
    return Raw(frames, sha256={name: sha256(folder / name) for name in splits.values()})


def _read(path: Path, form: Form, where: str) -> Table:
    reader = _READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise input_error(
            "no such file" if reader else "not a kind of file that can be read",
            where=where,
            got=str(path),
            expected=f"a file that ends with {', '.join(_READERS)}",
            remedy="dataset.source names its folder, dataset.splits each file in it",
        )
    try:
        return reader(path, form)
    except UnicodeError as error:
        raise _undecodable(path, form, error) from None
    except LookupError as error:
        raise input_error(
            "unknown encoding",
            where="dataset.encoding",
            got=str(error),
            expected="a text encoding that Python knows",
            remedy="such as utf-8, latin-1 or utf-16",
        ) from None
    except RecursionError:
        raise _damaged(path, "nested too deeply") from None
    except (csv.Error, pa.ArrowException, ValueError) as error:
        raise _damaged(path, str(error)) from None


def _separated(path: Path, form: Form) -> Table:
    separator = form.separator or ("\t" if path.suffix.lower() == ".tsv" else ",")
    csv.field_size_limit(2**31 - 1)  # whole documents are longer than its default
    rows = csv.reader(io.StringIO(_text(path, form), newline=""), delimiter=separator, strict=True)
    header = next(rows, [])
    if len(set(header)) < len(header):
        raise csv.Error(f"two columns of one name: {', '.join(header)}")
    table: Table = {name: [] for name in header}
    for row in filter(None, rows):
        if len(row) > len(header):
            raise csv.Error(f"line {rows.line_num}: {len(row)} fields, the header {len(header)}")
        for name, value in zip_longest(header, row):
            table[name].append(value)
    return table


def _json(path: Path, form: Form) -> Table:
    return _columns(json.loads(_text(path, form)))


def _jsonl(path: Path, form: Form) -> Table:
    rows = []
    # Not str.splitlines, which also breaks at characters that JSON strings may hold.
    for number, line in enumerate(_text(path, form).split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return _columns(rows)


def _parquet(path: Path, form: Form) -> Table:  # noqa: ARG001 - one signature for all readers
    table = pq.read_table(pa.BufferReader(path.read_bytes()), page_checksum_verification=True)
    table.validate(full=True)
    return table.to_pydict()


def _columns(rows: Any) -> Table:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("not a list of objects, one a row")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _text(path: Path, form: Form) -> str:
    # Spreadsheets begin UTF-8 files with a mark that would become part of the first name.
    plain = form.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    with path.open(encoding="utf-8-sig" if plain else form.encoding, newline="") as stream:
        return stream.read()


def _undecodable(path: Path, form: Form, error: UnicodeError) -> InputError:
    return input_error(
        f"the file is not {form.encoding} text",
        where=str(path),
        got=str(error),
        expected=f"{form.encoding}, as dataset.encoding says",
        remedy="dataset.encoding: the one it was written in, such as latin-1 or utf-16",
    )


def _damaged(path: Path, got: str) -> InputError:
    return input_error(
        "the file is damaged or of another form",
        where=str(path),
        got=got,
        expected=f"{path.suffix.lower()[1:]} with a name for each column",
        remedy="check its suffix, dataset.separator and its quotes",
    )


_READERS: dict[str, Callable[[Path, Form], Table]] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
