"""What a source's value is when it is written as text."""

import math
import re
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
    """Return whether a value is missing: null, NaN or an empty cell's marker."""
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def name_of(value: Any) -> str:
    """Write a value as the name of a class: without blanks around it, and whole numbers as such.

    Files write one class as 0 and as 0.0, often where some of a column's numbers are missing.

    >>> name_of(" 0.0"), name_of(0), name_of("0.5"), name_of("yes ")
    ('0', '0', '0.5', 'yes')
    """
    text = (written(value) or "").strip()
    return text.partition(".")[0] if re.fullmatch(r"[+-]?\d+\.0+", text) else text


def encodable(value: Any) -> bool:
    """Return whether a value can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        return False
    return True
