"""Rows judged one by one: the unusable are refused or dropped, and counted either way.

A judged table has the columns that will be written, and `fault`: why a row cannot be used, empty
where it can.
"""

import reprlib
from collections.abc import Iterable
from typing import Any

import pandas as pd

from adarank.errors import InputError, Problem
from adarank.pipeline.datasets.keys import key, section
from adarank.pipeline.datasets.raw import Columns, Raw
from adarank.pipeline.datasets.rows.values import absent, encodable, written

FAULT = "fault"
EMPTY = "empty text"
NO_TEXT = "text that is no string"
EMPTY_PAIR = "empty pair"
NO_PAIR = "pair that is no string"
NO_FIT = "no template whose columns are all there"
NESTED = "a column that is a list or an object (name a part of it, such as {column.0})"
HALF = "text that is no UTF-8 (half of a surrogate pair)"

Dropped = dict[str, dict[str, int]]
Row = dict[str, str | None]

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def judge_texts(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Check a split's texts, and its pairs where there are any."""
    assert columns.text is not None
    judged = pd.DataFrame({"text": frame[columns.text], FAULT: ""}, dtype=object)
    blame(judged, unwritable(frame))
    blame(judged, (_text_fault(text, EMPTY, NO_TEXT) for text in judged["text"]))
    if columns.pair is not None:
        judged.insert(1, "pair", frame[columns.pair])
        blame(judged, (_text_fault(text, EMPTY_PAIR, NO_PAIR) for text in judged["pair"]))
    return judged


def blame(judged: pd.DataFrame, faults: Iterable[str]) -> None:
    """Note a fault for each row, or none (""); a row's first fault stays."""
    both = [old or new for old, new in zip(judged[FAULT], faults, strict=True)]
    judged[FAULT] = pd.Series(both, index=judged.index, dtype=object)


def unwritable(frame: pd.DataFrame) -> list[str]:
    """Return the fault HALF for each row with text that no file can hold, "" for the others."""
    columns = [[encodable(value) for value in frame[name]] for name in frame]
    return ["" if all(row) else HALF for row in zip(*columns, strict=True)]


def unfit(frame: pd.DataFrame) -> list[str]:
    """Return the fault of each row that no template would fit."""
    columns = [[isinstance(value, list | dict) for value in frame[name]] for name in frame]
    return [NESTED if any(row) else NO_FIT for row in zip(*columns, strict=True)]


def rows_of(frame: pd.DataFrame, columns: Columns) -> list[Row]:
    """Write each row's values as the text that templates take."""
    texts = {name: [written(value) for value in frame[name]] for name in columns.names}
    return [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]


def settle(
    judged: dict[str, pd.DataFrame], raw: Raw, *, drop: bool, expected: str
) -> tuple[dict[str, pd.DataFrame], Dropped]:
    """Drop the rows with a fault, or refuse them.

    Args:
        judged: By split, as this module's docstring says.
        raw: The rows they come from, to show.
        drop: Whether unusable rows are dropped; else they are refused.
        expected: What a usable row has.

    Returns:
        By split, the usable rows without `fault`, and how many were dropped for what.

    Raises:
        InputError: Unusable rows where they are refused, or a split with no usable row.
    """
    dropped = {split: _counts(frame) for split, frame in judged.items()}
    problems = [
        _refused(frame, raw.frames[split], split, fault, expected)
        for split, frame in judged.items()
        for fault in ([] if drop else dropped[split])
    ]
    frames = {split: _usable(frame) for split, frame in judged.items()}
    problems = problems or [
        Problem(
            "the split is empty",
            key(f"splits.{split}"),
            f"{sum(dropped[split].values())} rows, none usable: {dropped[split]}",
            f"at least one row with {expected}",
        )
        for split, frame in frames.items()
        if frame.empty
    ]
    if problems:
        raise InputError(*problems)
    return frames, dropped


def _text_fault(text: Any, empty: str, no_text: str) -> str:
    if absent(text) or (isinstance(text, str) and not text.strip()):
        return empty
    return "" if isinstance(text, str) else no_text


def _usable(frame: pd.DataFrame) -> pd.DataFrame:
    good = frame.loc[frame[FAULT] == ""]
    return good.drop(columns=FAULT).reset_index(drop=True)


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    faults = frame.loc[frame[FAULT] != "", FAULT]
    return {str(fault): int(n) for fault, n in sorted(faults.value_counts().items())}


def _refused(
    judged: pd.DataFrame, frame: pd.DataFrame, split: str, fault: str, expected: str
) -> Problem:
    rows = [row for row, found in enumerate(judged[FAULT]) if found == fault]
    shown = ", ".join(str(row + 1) for row in rows[:8]) + " ..." * (len(rows) > 8)
    values = frame.iloc[rows[0]].items()
    first = ", ".join(f"{name}={_SHORT.repr(value)}" for name, value in values)
    return Problem(
        f"{len(rows)} of {len(judged)} rows with {fault}",
        f"{section()}, {split} split",
        f"rows {shown}; the first: {first}",
        expected,
        f"correct them, or {key('bad_rows')}: drop"
        if len(rows) < len(judged)
        else "correct the keys or templates that name its columns",
    )
