"""What scoring gives back: the table, and what it took."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Scores:
    """A score table, and what it took.

    Attributes:
        table: See `adarank.scoring.table`.
        engine: How it was computed: `replay, trimmed`, `replay`, `full forwards` (see
            `proven_engine`), `backward`, `backward, rows separated`, `backward of each row`,
            `forward` or `weights`.
        forwards: Forwards of a batch, partly replayed or not; for the backward engines, forwards
            that a backward followed.
    """

    table: pd.DataFrame
    engine: str
    forwards: int
