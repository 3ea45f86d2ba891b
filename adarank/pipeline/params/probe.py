"""The probe section of params.yaml, and the texts it names."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.errors import ParserError
from pydantic import Field

from adarank.errors import InputError, input_error
from adarank.pipeline.files.tables import read_parquet
from adarank.pipeline.params.loader import Section

# What a model reads of a row, by the columns that are there, and what stands between them.
_READ = {("prompt", "response"): "", ("text", "pair"): " ", ("text",): ""}
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


class ProbeSection(Section):
    """The texts on which scoring compares outputs."""

    source: str = Field(
        description="adarank/pipeline/builtin/sentences.txt (the built-in sentences), any text "
        "file with a text a line, or a table (csv, tsv, json, jsonl, parquet) with a column text, "
        "or prompt and response, such as data/tasks/NAME/train.parquet"
    )
    rows: int = Field(
        default=32, ge=1, description="texts used: the first of a text file, a sample of a table"
    )
    max_length: int = Field(
        default=128, ge=4, description="longest text in tokens; longer ones are cut"
    )
    seed: int = Field(default=0, ge=0, description="draws the sample of a table's rows")


def read_texts(probe: ProbeSection) -> list[str]:
    """Read the probe's texts: the first of a text file, or a sample of a table's.

    Raises:
        InputError: No such file, another kind of file or table, or fewer texts than `probe.rows`.
    """
    path = Path(probe.source)
    if path.suffix.lower() not in (".txt", *_TABLES):
        raise input_error(
            "not a probe that can be read",
            where="probe.source",
            got=probe.source,
            expected=f"a .txt file (a text a line), or a table: {', '.join(_TABLES)}",
            remedy="adarank/pipeline/builtin/sentences.txt is the built-in one",
        )
    texts = file_texts(path)
    if len(texts) < probe.rows:
        raise input_error(
            "the probe has fewer texts than asked for",
            where="probe.rows",
            got=probe.rows,
            expected=f"at most {len(texts)}, the texts in {path}",
            remedy="lower probe.rows, or name a larger probe.source",
        )
    if path.suffix.lower() == ".txt":
        return texts[: probe.rows]
    return _drawn(texts, probe.rows, probe.seed)


def sample_texts(path: Path, rows: int, seed: int) -> list[str]:
    """Draw texts of a task's rows, in their order in the file.

    Args:
        path: A parquet file that download_task wrote.
        rows: How many at most.
        seed: Decides which.
    """
    return _drawn(file_texts(path), rows, seed)


def _drawn(texts: list[str], rows: int, seed: int) -> list[str]:
    picked = np.random.default_rng(seed).permutation(len(texts))[:rows]
    return [texts[row] for row in sorted(picked)]


def file_texts(path: Path) -> list[str]:
    """Read every text of a file: by its suffix a table's rows, else a text a line.

    Of a table these are the texts that a task's model reads: the column `text`, the two texts of
    a pair with a space between, or the prompt and its response. Empty texts are none.

    Raises:
        InputError: No such file, one that cannot be read, or a table without these columns.
    """
    try:
        texts = _rows(path) if path.suffix.lower() in _TABLES else _lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise input_error(
            "the texts cannot be read",
            where="probe.source",
            got=f"{path}: {getattr(error, 'strerror', None) or error}",
            expected="a file of UTF-8 text, a text a line, or a table",
            remedy="correct the path, or save the file as UTF-8",
        ) from None
    texts = [text for text in texts if text.strip()]
    _check_encodable(texts, path)
    return texts


def given_texts(path: Path, option: str) -> list[str]:
    """Read every text of a file that an option names; see `file_texts`.

    Raises:
        InputError: As `file_texts` has it, about the option.
    """
    try:
        return file_texts(path)
    except InputError as error:
        raise InputError(*(replace(p, where=option) for p in error.problems)) from None


def _lines(path: Path) -> list[str]:
    # Not str.splitlines, which also breaks at characters that texts may hold.
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]


def read_table(path: Path) -> pd.DataFrame:
    """Read a table by its suffix; fields of csv and tsv files are texts.

    Raises:
        InputError: Damaged, or of another form than its suffix says.
        OSError: No such file.
    """
    return read_parquet(path)[0] if path.suffix.lower() == ".parquet" else _table(path)


def _rows(path: Path) -> list[str]:
    table = read_table(path)
    for columns, between in _READ.items():
        if set(columns) <= set(table.columns):
            parts = [[_text(value) for value in table[column]] for column in columns]
            return [between.join(row) for row in zip(*parts, strict=True)]
    raise input_error(
        "a table without texts",
        where="probe.source",
        got=f"{path} with columns {', '.join(map(str, table.columns))}",
        expected="a column text, or prompt and response",
        remedy="name its column of texts so, or give a .txt file with a text a line",
    )


def _table(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            separator = "\t" if suffix == ".tsv" else ","
            table = pd.read_csv(
                path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig"
            )
            return table.rename(columns=str.strip)
        text = path.read_text(encoding="utf-8-sig")
        lines = (line for line in text.split("\n") if line.strip())
        rows: Any = json.loads(text) if suffix == ".json" else [json.loads(line) for line in lines]
        return pd.DataFrame(rows, dtype=object)
    except UnicodeDecodeError:
        raise
    except (ParserError, ValueError, RecursionError) as error:
        raise input_error(
            "the texts are damaged or of another form",
            where="probe.source",
            got=f"{path}: {error}",
            expected=f"{suffix[1:]}, as its suffix says",
            remedy="correct it, or give a .txt file with a text a line",
        ) from None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _check_encodable(texts: list[str], path: Path) -> None:
    halves = [text for text in texts if any("\ud800" <= c <= "\udfff" for c in text)]
    if halves:
        raise input_error(
            "texts that are no UTF-8 (half of a surrogate pair)",
            where="probe.source",
            got=f"{len(halves)} of {len(texts)} texts in {path}; the first: {halves[0]!r}",
            expected="texts that UTF-8 can hold",
            remedy="remove them",
        )
