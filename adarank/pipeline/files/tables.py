"""Tables as files, whole or absent: tab-separated text and parquet, the same bytes each time.

Apart from `whole`, so that what reads and writes JSON alone loads neither pandas nor pyarrow.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adarank.pipeline.files.whole import absent_error, damaged_error, write_bytes

_METADATA_KEY = b"adarank"


def write_tsv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as tab-separated text, floats at full precision."""
    write_bytes(path, as_tsv(frame))


def read_tsv(path: Path, *, text: bool = False) -> pd.DataFrame:
    """Read a table that `write_tsv` wrote, every float as it was; or all as text, `NA` too."""
    if text:
        return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    return pd.read_csv(path, sep="\t", float_precision="round_trip")


def as_tsv(frame: pd.DataFrame) -> bytes:
    """Make the bytes that `write_tsv` writes."""
    return frame.to_csv(sep="\t", index=False, lineterminator="\n").encode()


def write_parquet(path: Path, frame: pd.DataFrame, metadata: dict[str, Any] | None = None) -> None:
    """Write a table as parquet, byte-stable, with `metadata` (JSON) in its footer."""
    write_bytes(path, as_parquet(frame, metadata))


def as_parquet(frame: pd.DataFrame, metadata: dict[str, Any] | None = None) -> bytes:
    """Make the bytes that `write_parquet` writes."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    note = json.dumps(metadata or {}, sort_keys=True).encode()
    table = table.replace_schema_metadata({_METADATA_KEY: note})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def from_parquet(data: bytes) -> pd.DataFrame:
    """Read a table from bytes that `as_parquet` made."""
    return pq.read_table(pa.BufferReader(data)).to_pandas()


def read_parquet(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a table and its metadata; InputError if it is absent or torn."""
    try:
        # From memory, for Arrow takes a folder of tables, or columns from a path's name, too.
        stored = pa.BufferReader(path.read_bytes())
        table = pq.read_table(stored, page_checksum_verification=True)
        table.validate(full=True)  # or text that is no UTF-8 would be found where it is used
        frame = table.to_pandas()
        note = json.loads((table.schema.metadata or {}).get(_METADATA_KEY, b"{}"))
    except FileNotFoundError:
        raise absent_error(path) from None
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        raise damaged_error(path, error, "a parquet table") from None
    return frame, note if isinstance(note, dict) else {}
