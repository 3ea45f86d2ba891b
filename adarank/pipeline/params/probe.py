"""The probe section of params.yaml, and the texts it names."""

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from adarank.errors import input_error
from adarank.pipeline.files.whole import read_parquet
from adarank.pipeline.params.loader import Section

# What a model reads of a row, by the columns that are there, and what stands between them.
_READ = {("prompt", "response"): "", ("text", "pair"): " ", ("text",): ""}


class ProbeSection(Section):
    """The texts on which scoring compares outputs."""

    source: str = Field(
        description="adarank/pipeline/builtin/sentences.txt (the built-in sentences), any text "
        "file with a text a line, or data/dataset/train.parquet (rows of the dataset)"
    )
    rows: int = Field(
        default=32, ge=1, description="texts used: the first of a text file, a sample of a table"
    )
    max_length: int = Field(
        default=128, ge=4, description="longest text in tokens; longer ones are cut"
    )
    seed: int = Field(default=0, ge=0, description="draws the sample of a table's rows")


def read_texts(probe: ProbeSection) -> list[str]:
    """Read the probe's texts.

    Of the dataset's rows these are the texts that the task's model reads: the text, the two texts
    of a pair with a space between, or the prompt and its response.

    Raises:
        InputError: No such file, another kind of file or table, or fewer texts than `probe.rows`.
    """
    path = Path(probe.source)
    if path.suffix == ".parquet":
        texts = sample_texts(path, probe.rows, probe.seed)
    elif path.suffix == ".txt":
        texts = text_lines(path)[: probe.rows]
    else:
        raise input_error(
            "not a probe that can be read",
            where="probe.source",
            got=probe.source,
            expected="a .txt file (a text a line) or data/dataset/train.parquet",
            remedy="adarank/pipeline/builtin/sentences.txt is the built-in one",
        )
    if len(texts) < probe.rows:
        raise input_error(
            "the probe has fewer texts than asked for",
            where="probe.rows",
            got=probe.rows,
            expected=f"at most {len(texts)}, the texts in {path}",
            remedy="lower probe.rows, or name a larger probe.source",
        )
    return texts


def sample_texts(path: Path, rows: int, seed: int) -> list[str]:
    """Draw texts of a task's rows, in their order in the file.

    Args:
        path: A parquet file that download_task wrote.
        rows: How many at most.
        seed: Decides which.
    """
    texts = _rows(path)
    picked = np.random.default_rng(seed).permutation(len(texts))[:rows]
    return [texts[row] for row in sorted(picked)]


def _rows(path: Path) -> list[str]:
    table: pd.DataFrame = read_parquet(path)[0]
    for columns, between in _READ.items():
        if set(columns) <= set(table.columns):
            parts = [table[column].astype(str) for column in columns]
            return [between.join(row) for row in zip(*parts, strict=True)]
    raise input_error(
        "not the dataset's rows",
        where="probe.source",
        got=f"{path} with columns {', '.join(map(str, table.columns))}",
        expected="a column text, or prompt and response",
        remedy="data/dataset/train.parquet",
    )


def text_lines(path: Path) -> list[str]:
    """Read a text a line; empty lines are none.

    Raises:
        InputError: No such file, or not UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise input_error(
            "the probe cannot be read",
            where="probe.source",
            got=f"{path}: {getattr(error, 'strerror', None) or error}",
            expected="a file of UTF-8 text, a text a line",
            remedy="mend the path, or save the file as UTF-8",
        ) from None
    return [line.strip() for line in lines if line.strip()]
