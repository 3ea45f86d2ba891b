"""What every kind of rows takes and gives: the rules, and tables ready to write."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from adarank.pipeline.datasets.dividing.splits import Division
from adarank.pipeline.datasets.raw import Columns


@dataclass(frozen=True)
class Rules:
    """How a dataset's rows are to be read.

    Attributes:
        columns: Which columns of the source are meant.
        drop: Whether unusable rows are dropped, and counted; else they are refused.
        num_classes: How many classes there must be; None for as many as train has.
        target_words: The words to write for each target, as text; empty for the target itself.
        division: How rows are sampled, and which splits are carved from train.
        label_noise: Share of train's rows that get a wrong label, once train is divided.
    """

    columns: Columns
    drop: bool
    num_classes: int | None = None
    target_words: dict[str, str] = field(default_factory=dict)
    division: Division = field(default_factory=Division)
    label_noise: float = 0.0


@dataclass(frozen=True)
class Normalised:
    """Usable rows of each split.

    Attributes:
        frames: By split, a table with the columns of its kind of rows.
        note: What task.json says of them: `dropped`, and such things as the classes' names.
    """

    frames: dict[str, pd.DataFrame]
    note: dict[str, Any]
