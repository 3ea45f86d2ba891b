"""Rows with words to be written: a text, and its answer in words."""

from typing import Any

import pandas as pd

from adarank.errors import InputError, input_error
from adarank.pipeline.datasets.dividing.splits import divide
from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.normalised import Normalised, Rules
from adarank.pipeline.datasets.raw import Columns, Raw
from adarank.pipeline.datasets.rows.judging import (
    FAULT,
    blame,
    judge_texts,
    rows_of,
    settle,
    unfit,
    unwritable,
)
from adarank.pipeline.datasets.rows.values import name_of, written

NO_TARGET = "no target (empty, a list or an object)"
NO_WORDS = "a target that target_words lacks"


def words(raw: Raw, rules: Rules) -> Normalised:
    """Make texts, and the words to be written for each.

    The text is the first template that a row has all columns for, filled in, or without
    templates a column. The words are those that `target_words` has for the target, or without
    it the target itself.

    Args:
        raw: The source's rows.
        rules: `columns` names a target, and templates or a text.

    Returns:
        Tables with columns `text` (str), `target` (str, the words) and `label` (int64, index of
        the words among the note's `labels`; -1 without target_words). The note's `labels` are
        the words in the order of target_words.

    Raises:
        InputError: Unusable rows, an empty split, or words that no row of train has.
    """
    judged = {split: _judged(frame, rules) for split, frame in raw.frames.items()}
    expected = "a text and " + (
        f"a target among {', '.join(rules.target_words)}" if rules.target_words else "a target"
    )
    frames, dropped = settle(judged, raw, drop=rules.drop, expected=expected)
    labels = list(dict.fromkeys(rules.target_words.values()))
    frames = {split: _with_ids(frame, labels) for split, frame in frames.items()}
    _check_labels(frames["train"], labels)
    return Normalised(divide(frames, rules.division), {"labels": labels, "dropped": dropped})


def _judged(frame: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    columns = rules.columns
    judged = _filled(frame, columns) if columns.templates else judge_texts(frame, columns)
    targets = [written(target) for target in frame[columns.target]]
    blame(judged, ("" if (target or "").strip() else NO_TARGET for target in targets))
    if rules.target_words:
        targets = [rules.target_words.get(name_of(target)) for target in frame[columns.target]]
        blame(judged, (NO_WORDS if target is None else "" for target in targets))
    judged["target"] = pd.Series(targets, index=judged.index, dtype=object)
    return judged


def _filled(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    found: list[tuple[str, str]] = []
    for row, fault in zip(rows_of(frame, columns), unfit(frame), strict=True):
        fitting = (template for template in columns.templates if template.fits(row))
        made = next((template.fill(row) for template in fitting), None)
        found.append(("", fault) if made is None else (made, ""))
    judged = pd.DataFrame(found, columns=["text", FAULT], dtype=object)
    blame(judged, unwritable(frame))
    return judged


def _with_ids(frame: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    ids = {label: index for index, label in enumerate(labels)}
    found: list[Any] = [ids.get(target, -1) for target in frame["target"]]
    return frame.astype(str).assign(label=pd.Series(found, dtype="int64"))


def _check_labels(train: pd.DataFrame, labels: list[str]) -> None:
    used = set(train["target"])
    unused = [label for label in labels if label not in used]
    if unused:
        raise _unused(unused, len(train))


def _unused(unused: list[str], rows: int) -> InputError:
    return input_error(
        "words that no row of train is to be answered with",
        where=key("target_words"),
        got=", ".join(repr(label) for label in unused),
        expected=f"each to occur among the {rows} rows of train",
        remedy="correct the target that they are listed for, or remove it, or take more train_rows",
    )
