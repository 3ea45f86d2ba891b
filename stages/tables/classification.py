"""Rows for classification: text and a class id, with every unusable row counted."""

import re
from typing import Any

import pandas as pd

from adarank.errors import InputError, Problem, input_error
from stages.tables.normalised import Normalised
from stages.tables.raw import Raw

EMPTY = "empty text"
NO_TEXT = "text that is no string"
NO_LABEL = "no label"
NO_CLASS = "a target that is no class (a fraction, list or object)"
UNSEEN = "a label that train does not have"


def classification(raw: Raw, *, num_classes: int | None, drop: bool) -> Normalised:
    """Turn targets into class ids: 0, 1 ... in the source's own order or in sorted order.

    Names that are all integers sort as numbers, others as text; a class is one that some
    usable row of train has.

    Args:
        raw: The source's rows.
        num_classes: How many classes there must be; None for as many as train has.
        drop: Whether unusable rows are dropped, and counted; else they are refused.

    Returns:
        Tables with columns `text` (str) and `label` (int64), and labels and counts.

    Raises:
        InputError: Unusable rows, an empty split, or too few or unexpected classes.
    """
    judged = {split: _judged(frame) for split, frame in raw.frames.items()}
    labels = _labels(judged["train"], raw.classes)
    for frame in judged.values():
        unseen = (frame["fault"] == "") & ~frame["name"].isin(labels)
        frame.loc[unseen, "fault"] = UNSEEN
    faults = {split: _counts(frame) for split, frame in judged.items()}
    if not drop:
        _refuse(judged)
    _check_classes(labels, num_classes)
    frames = {split: _usable(frame, labels) for split, frame in judged.items()}
    _check_rows(frames, faults)
    return Normalised(frames, {"labels": labels, "dropped": faults})


def _judged(frame: pd.DataFrame) -> pd.DataFrame:
    names = [_class_name(target) for target in frame["target"]]
    faults = [
        _fault(text, target, name)
        for text, target, name in zip(frame["text"], frame["target"], names, strict=True)
    ]
    columns = {"text": frame["text"], "name": names, "fault": faults}
    return pd.DataFrame(columns, dtype=object)


def _class_name(target: Any) -> str | None:
    if isinstance(target, bool):
        return str(target).lower()
    if isinstance(target, float) and target.is_integer():
        return str(int(target))
    if isinstance(target, str | int):
        return str(target).strip() or None
    return None


def _fault(text: Any, target: Any, name: str | None) -> str:
    if _absent(text) or (isinstance(text, str) and not text.strip()):
        return EMPTY
    if not isinstance(text, str):
        return NO_TEXT
    if name is None:
        return NO_LABEL if _absent(target) or isinstance(target, str) else NO_CLASS
    return ""


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _labels(train: pd.DataFrame, declared: tuple[str, ...] | None) -> list[str]:
    found = set(train.loc[train["fault"] == "", "name"])
    if declared is not None:
        return [name for name in declared if name in found]
    if all(re.fullmatch(r"[+-]?\d+", name) for name in found):
        return sorted(found, key=lambda name: (int(name), name))
    return sorted(found)


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    faults = frame.loc[frame["fault"] != "", "fault"]
    return {str(fault): int(n) for fault, n in sorted(faults.value_counts().items())}


def _refuse(judged: dict[str, pd.DataFrame]) -> None:
    problems = [
        _faulty(split, frame, fault)
        for split, frame in judged.items()
        for fault in sorted(set(frame["fault"]) - {""})
    ]
    if problems:
        raise InputError(*problems)


def _faulty(split: str, frame: pd.DataFrame, fault: str) -> Problem:
    rows = [row for row, found in enumerate(frame["fault"]) if found == fault]
    shown = ", ".join(str(row + 1) for row in rows[:8]) + " ..." * (len(rows) > 8)
    first = (frame["text"][rows[0]], frame["name"][rows[0]])
    return Problem(
        f"{len(rows)} of {len(frame)} rows with {fault}",
        f"dataset, {split} split",
        f"rows {shown}; the first: {first!r}",
        "a text and a label that train has",
        "mend them, or dataset.bad_rows: drop",
    )


def _check_classes(labels: list[str], num_classes: int | None) -> None:
    shown = ", ".join(labels[:20]) + " ..." * (len(labels) > 20)
    if len(labels) < 2:
        raise input_error(
            "fewer than two classes in train",
            where="dataset.target_key",
            got=shown or "none",
            expected="at least two different labels",
            remedy="dataset.target_key: the column of labels",
        )
    if num_classes not in (None, len(labels)):
        raise input_error(
            "not as many classes as said",
            where="dataset.num_classes",
            got=f"{len(labels)} in train: {shown}",
            expected=str(num_classes),
            remedy=f"dataset.num_classes: {len(labels)} or null, or another target_key",
        )


def _usable(frame: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    good = frame.loc[frame["fault"] == "", ["text", "name"]].reset_index(drop=True)
    ids = {name: index for index, name in enumerate(labels)}
    label = pd.Series([ids[name] for name in good["name"]], dtype="int64")
    return pd.DataFrame({"text": good["text"].astype(str), "label": label})


def _check_rows(frames: dict[str, pd.DataFrame], faults: dict[str, dict[str, int]]) -> None:
    problems = [
        Problem(
            "the split is empty",
            f"dataset.splits.{split}",
            f"{sum(faults[split].values())} rows, none usable: {faults[split]}",
            "at least one row with text and a label that train has",
        )
        for split, frame in frames.items()
        if frame.empty
    ]
    if problems:
        raise InputError(*problems)
