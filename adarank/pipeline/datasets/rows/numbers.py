"""Rows with a number for target: text, or a pair of texts, and the number."""

import math
import statistics
from decimal import Decimal
from typing import Any

import pandas as pd

from adarank.errors import input_error
from adarank.pipeline.datasets.dividing.splits import divide
from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.normalised import Normalised, Rules
from adarank.pipeline.datasets.raw import Raw
from adarank.pipeline.datasets.rows.judging import blame, judge_texts, settle

NO_NUMBER = "a target that is no finite number"


def numbers(raw: Raw, rules: Rules) -> Normalised:
    """Read targets as numbers, whether written as such or as text.

    Args:
        raw: The source's rows.
        rules: `columns` names a text, a target and perhaps a pair.

    Returns:
        Tables with columns `text` (str), perhaps `pair` (str), and `target` (float64); the note
        has `target_mean` and `target_sd` (dividing by n) over the rows of train that remain.

    Raises:
        InputError: Unusable rows, an empty split, or one and the same target in all of train.
    """
    judged = {split: _judged(frame, rules) for split, frame in raw.frames.items()}
    expected = "a text and a finite number"
    frames, dropped = settle(judged, raw, drop=rules.drop, expected=expected)
    frames = {split: _typed(frame) for split, frame in frames.items()}
    frames = divide(frames, rules.division)
    return Normalised(frames, {**_spread(frames["train"]), "dropped": dropped})


def _judged(frame: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    judged = judge_texts(frame, rules.columns)
    targets = [_number(target) for target in frame[rules.columns.target]]
    judged["target"] = pd.Series(targets, index=judged.index, dtype=object)
    blame(judged, (NO_NUMBER if number is None else "" for number in targets))
    return judged


def _number(target: Any) -> float | None:
    # Python alone reads 1_0 as ten; elsewhere it is a name.
    if isinstance(target, bool) or (isinstance(target, str) and "_" in target):
        return None
    try:
        number = float(target) if isinstance(target, int | float | str | Decimal) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    target = frame["target"].astype("float64")
    return frame.drop(columns="target").astype(str).assign(target=target)


def _spread(train: pd.DataFrame) -> dict[str, float]:
    # Exact sums: the same on every machine.
    targets: list[float] = train["target"].tolist()
    spread = {"target_mean": statistics.mean(targets), "target_sd": statistics.pstdev(targets)}
    if spread["target_sd"] == 0:
        raise input_error(
            "every row of train has the same target",
            where=key("target_key"),
            got=f"{targets[0]} in {len(targets)} rows",
            expected="numbers that differ",
            remedy=f"{key('target_key')}: the column of numbers",
        )
    return spread
