"""The embedded default dataset: six-way question classification from templates and fillers."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pandas as pd

from adarank.pipeline.params.loader import read_yaml

SPLITS = ("train", "validation", "test")
SOURCE = Path(__file__).with_name("questions.yaml")

_SLOT = re.compile(r"\{(?P<article>a )?(?P<lists>[a-z|]+)2?\}")
_TRIES_PER_TEXT = 100
_SPOKEN_AS_CONSONANT = re.compile(r"uni|uku|ura|eu", re.IGNORECASE)


def questions() -> dict[str, pd.DataFrame]:
    """Make the splits of the questions dataset: the same rows on every machine.

    The six labels are the coarse classes of question classification (Li and Roth, "Learning
    question classifiers", COLING 2002), which TREC's questions are known by: the kind of
    answer that a question wants. The questions are this project's own, and need have no
    true answer.

    No two splits share a filler (a name, a noun ...) or a template, and test asks in other forms
    than train: it measures whether the kind of answer was learned, not the wording. The templates
    of validation and test, and test's fillers, were written without running any model on them,
    and the splits are frozen: their SHA-256 is in the tests.

    Returns:
        Frames `train` (2400 rows), `validation` (360) and `test` (660) with the columns
        `text` and `label` (the label's name, str), no text twice, in a fixed mixed order.

    Raises:
        RuntimeError: The data file holds too few fillers for the rows it asks for.
    """
    source = read_yaml(SOURCE)
    return {split: _frame(split, source) for split in SPLITS}


def fillers_of(source: dict[str, Any], split: str) -> dict[str, list[str]]:
    """Return a split's fillers, list by list."""
    return {name: line.split(", ") for name, line in source["fillers"][split].items()}


def fill(template: str, fillers: dict[str, list[str]], turn: int) -> str:
    """Fill every slot of a template, no filler twice.

    Args:
        template: Text with slots: {list}, {list|list}, {a list}, {list2}.
        fillers: List name -> what may stand in its slots.
        turn: Which of the many ways to fill it; equal turns give equal texts.
    """
    chosen: list[str] = []

    def filler(slot: re.Match[str]) -> str:
        options = [word for name in slot["lists"].split("|") for word in fillers[name]]
        options = [word for word in options if word not in chosen]
        word = options[_digest(template, str(turn), slot[0]) % len(options)]
        chosen.append(word)
        return f"{article(word)} {word}" if slot["article"] else word

    text = _SLOT.sub(filler, template)
    return text[0].upper() + text[1:]


def article(word: str) -> str:
    """Choose between "a" and "an" for a word that begins as it is spelled, or with "yoo"."""
    vowel = word[0].lower() in "aeiou" and not _SPOKEN_AS_CONSONANT.match(word)
    return "an" if vowel else "a"


def _frame(split: str, source: dict[str, Any]) -> pd.DataFrame:
    fillers = fillers_of(source, split)
    rows = [
        (text, label)
        for label, wanted in source["rows"][split].items()
        for text in _different(source["templates"][label][split].splitlines(), fillers, wanted)
    ]
    mixed = sorted(rows, key=lambda row: _digest(*row))
    return pd.DataFrame(mixed, columns=["text", "label"])


def _different(templates: list[str], fillers: dict[str, list[str]], wanted: int) -> list[str]:
    texts: dict[str, None] = {}
    turn = 0
    while len(texts) < wanted:
        if turn == wanted * _TRIES_PER_TEXT:
            raise RuntimeError(
                f"{SOURCE}: {len(templates)} templates from {templates[0]!r} on give "
                f"{len(texts)} texts, expected {wanted}; add fillers or templates"
            )
        texts[fill(templates[turn % len(templates)], fillers, turn)] = None
        turn += 1
    return list(texts)


def _digest(*parts: str) -> int:
    # In place of `random`, whose choice() and shuffle() may differ between Python versions.
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")
