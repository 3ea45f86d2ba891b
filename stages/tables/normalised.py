"""What every task's normalising gives: tables ready to write, and what to note of them."""

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Normalised:
    """Usable rows of each split.

    Attributes:
        frames: By split, a table with `text` and the task's other columns.
        note: What dataset.json says of them, such as the classes' names.
    """

    frames: dict[str, pd.DataFrame]
    note: dict[str, Any]
