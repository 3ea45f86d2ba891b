"""Rows with one of a few names for target: text, or a pair of texts, and a class id."""

import re
from typing import Any

import pandas as pd

from adarank.errors import input_error
from adarank.pipeline.datasets.dividing.splits import divide
from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.normalised import Normalised, Rules
from adarank.pipeline.datasets.raw import Raw
from adarank.pipeline.datasets.rows.judging import FAULT, blame, judge_texts, settle
from adarank.pipeline.datasets.rows.noise import flip
from adarank.pipeline.datasets.rows.values import absent, name_of

NO_LABEL = "no label"
NO_CLASS = "a target that is no class (a fraction, list or object)"
UNSEEN = "a label that train does not have"


def labels(raw: Raw, rules: Rules) -> Normalised:
    """Turn targets into class ids: 0, 1 ... in the source's own order or in sorted order.

    Names that are all integers sort as numbers, others as text; a class is one that some
    usable row of train has.

    Args:
        raw: The source's rows.
        rules: `columns` names a text, a target and perhaps a pair.

    Returns:
        Tables with columns `text` (str), perhaps `pair` (str), and `label` (int64); the note
        has `labels`, the names in the order of their ids, and `label_noise` where there is any.

    Raises:
        InputError: Unusable rows, an empty split, or too few or unexpected classes.
    """
    judged = {split: _judged(frame, rules) for split, frame in raw.frames.items()}
    names = _names(judged["train"], raw.classes)
    ids = {name: index for index, name in enumerate(names)}
    for frame in judged.values():
        blame(frame, ("" if name in ids else UNSEEN for name in frame["name"]))
    expected = "a text and a label that train has"
    frames, dropped = settle(judged, raw, drop=rules.drop, expected=expected)
    _check_classes(names, rules.num_classes)
    frames = {split: _with_ids(frame, ids) for split, frame in frames.items()}
    frames = divide(frames, rules.division)
    note: dict[str, Any] = {"labels": names, "dropped": dropped}
    if rules.label_noise:
        train = frames["train"]
        frames["train"] = flip(train, rules.label_noise, rules.division.seed, len(names))
        wrong = round(rules.label_noise * len(train))
        note["label_noise"] = {"share": rules.label_noise, "rows": wrong}
    return Normalised(frames, note)


def _judged(frame: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    judged = judge_texts(frame, rules.columns)
    targets = frame[rules.columns.target]
    names = [_class_name(target) for target in targets]
    judged["name"] = pd.Series(names, index=judged.index, dtype=object)
    blame(judged, (_fault(*pair) for pair in zip(targets, names, strict=True)))
    return judged


def _class_name(target: Any) -> str | None:
    fraction = isinstance(target, float) and not target.is_integer()
    return None if fraction else name_of(target) or None


def _fault(target: Any, name: str | None) -> str:
    if name is not None:
        return ""
    return NO_LABEL if absent(target) or isinstance(target, str) else NO_CLASS


def _names(train: pd.DataFrame, declared: tuple[str, ...] | None) -> list[str]:
    found = set(train.loc[train[FAULT] == "", "name"])
    if declared is not None:
        return [name for name in dict.fromkeys(map(name_of, declared)) if name in found]
    if all(re.fullmatch(r"[+-]?\d+", name) for name in found):
        return sorted(found, key=lambda name: (int(name), name))
    return sorted(found)


def _check_classes(names: list[str], num_classes: int | None) -> None:
    shown = ", ".join(names[:20]) + " ..." * (len(names) > 20)
    if len(names) < 2:
        raise input_error(
            "fewer than two classes in train",
            where=key("target_key"),
            got=shown or "none",
            expected="at least two different labels",
            remedy=f"{key('target_key')}: the column of labels",
        )
    if num_classes not in (None, len(names)):
        raise input_error(
            "not as many classes as said",
            where=key("num_classes"),
            got=f"{len(names)} in train: {shown}",
            expected=str(num_classes),
            remedy=f"{key('num_classes')}: {len(names)} or null, or another target_key",
        )


def _with_ids(frame: pd.DataFrame, ids: dict[str, int]) -> pd.DataFrame:
    label = pd.Series([ids[name] for name in frame["name"]], dtype="int64")
    return frame.drop(columns="name").astype(str).assign(label=label)
