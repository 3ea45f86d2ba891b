"""How a file of rows is written, and what reading one gives."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Format = Literal["csv", "tsv", "json", "jsonl", "parquet", "lines"]
Quoting = Literal["standard", "none"]
ExtraFields = Literal["refuse", "drop", "join"]

SHORT = "lines with fewer fields than columns, the missing ones empty"
EXTRA = "lines with more fields than columns"
SPANNING = "rows whose quoted fields span several lines"


@dataclass(frozen=True)
class Form:
    """How files are written.

    Attributes:
        encoding: A name that Python knows.
        separator: One character, or None for the one that the format suggests.
        format: None for the one that a file's suffix names.
        quoting: Whether `"` encloses fields, or is a character like any other.
        columns: Names of the columns of files without a header; () where the first line is one.
        extra_fields: What is done about lines with more fields than columns: `refuse` them,
            `drop` the fields, or `join` them to the last column.
    """

    encoding: str = "utf-8"
    separator: str | None = None
    format: Format | None = None
    quoting: Quoting = "standard"
    columns: tuple[str, ...] = ()
    extra_fields: ExtraFields = "refuse"


@dataclass(frozen=True)
class Table:
    """What a file holds.

    Attributes:
        columns: The values of each column with a name of its own; all of one length.
        doubled: Names that several columns have; these columns are left out.
        remarks: How many lines were taken by one of the rules SHORT, EXTRA and SPANNING.
        headed: How many fields the line has that names the columns; 0 where there is none.
    """

    columns: dict[str, list[Any]]
    doubled: frozenset[str] = frozenset()
    remarks: dict[str, int] = field(default_factory=dict)
    headed: int = 0

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(next(iter(self.columns.values()), ()))


class FormError(ValueError):
    """A file that is not written as its form says.

    Attributes:
        remedy: What may help; "" where nothing particular does.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy


def read_text(path: Path, encoding: str) -> str:
    """Read a file as text, line ends as they are, without a byte-order mark."""
    # Spreadsheets begin UTF-8 files with a mark that would become part of the first name.
    plain = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    with path.open(encoding="utf-8-sig" if plain else encoding, newline="") as stream:
        return stream.read()
