"""What a source offers before anything is fetched: its files and a way to get them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Offer:
    """The files at the top of a model folder, wherever that folder is.

    Attributes:
        sizes: Bytes of each file, by name.
        fetch: Puts the named files into a folder; their bytes are the source's.
        revision: The commit or version that the source resolved to; None for a folder.
        record: More of where it came from, for data/sources.
    """

    sizes: dict[str, int]
    fetch: Callable[[Sequence[str], Path], None]
    revision: str | None = None
    record: dict[str, str] = field(default_factory=dict)
