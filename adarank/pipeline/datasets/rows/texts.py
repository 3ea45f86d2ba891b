"""Rows to be continued: a prompt and its response, or plain text."""

import pandas as pd

from adarank.pipeline.datasets.dividing.splits import divide
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
from adarank.pipeline.datasets.rows.templates import Template


def texts(raw: Raw, rules: Rules) -> Normalised:
    """Make prompts and responses.

    Of the first template that a row has all columns for, what stands before the target's column
    is the prompt; from there on it is the response. Without templates the text is the response.

    Args:
        raw: The source's rows.
        rules: `columns` names a target and templates that each have its column, or a text.

    Returns:
        Tables with columns `prompt` (str, perhaps "") and `response` (str).

    Raises:
        InputError: Unusable rows, or an empty split.
    """
    judge = _from_templates if rules.columns.templates else _from_text
    judged = {split: judge(frame, rules.columns) for split, frame in raw.frames.items()}
    expected = "a text" if rules.columns.text else "all columns of a template"
    frames, dropped = settle(judged, raw, drop=rules.drop, expected=expected)
    frames = {split: frame.astype(str) for split, frame in frames.items()}
    return Normalised(divide(frames, rules.division), {"dropped": dropped})


def _from_text(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    judged = judge_texts(frame, columns).rename(columns={"text": "response"})
    judged.insert(0, "prompt", "")
    return judged


def _from_templates(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    assert columns.target is not None
    halves = [_halves(template, columns.target) for template in columns.templates]
    found: list[tuple[str, str, str]] = []
    for row, fault in zip(rows_of(frame, columns), unfit(frame), strict=True):
        fitting = (pair for pair in halves if all(half.fits(row) for half in pair))
        made = next(((prompt.fill(row), response.fill(row)) for prompt, response in fitting), None)
        found.append((*made, "") if made else ("", "", fault))
    judged = pd.DataFrame(found, columns=["prompt", "response", FAULT], dtype=object)
    blame(judged, unwritable(frame))
    return judged


def _halves(template: Template, target: str) -> tuple[Template, Template]:
    return template.before(target), template.since(target)
