"""What a source's value is when it is written as text."""

import math
from typing import Any

import pandas as pd


def written(value: Any) -> str | None:
    """Write a value as text: `true`, `7` (also for 7.0), `0.5`, or the string it is.

    Returns:
        The text; None for what has none: an absent value, a list, an object, an infinity.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if isinstance(value, int) else None


def absent(value: Any) -> bool:
    """Tell whether a value is none: null, NaN or an empty cell's marker."""
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)
