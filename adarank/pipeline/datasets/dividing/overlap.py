"""Texts that several splits share: what a model has learned from, it is no measure of."""

from collections.abc import Mapping
from itertools import combinations

import pandas as pd

Shared = dict[str, dict[str, dict[str, int]]]

_READ = (("text", "pair"), ("prompt", "response"), ("text",))
_ORDER = ("train", "validation", "test")


def text_of(frame: pd.DataFrame) -> list[str]:
    """Return what a model reads of each row, by which rows are distinguished.

    That is the text, both texts of a pair, or the prompt with its response. Case and blanks make
    no difference: tokenizers fold either.
    """
    columns = next(names for names in _READ if set(names) <= set(frame.columns))
    parts = [[_plain(text) for text in frame[name]] for name in columns]
    return ["\0".join(row) for row in zip(*parts, strict=True)]


def shared_texts(frames: Mapping[str, pd.DataFrame]) -> Shared:
    """Count what each split shares with the ones before it: train, validation, test.

    Returns:
        By the later and the earlier split: `texts`, different ones that both have, and `rows`, of
        the later, that have them; only where there are any.
    """
    texts = {split: text_of(frames[split]) for split in _ORDER if split in frames}
    shared: Shared = {}
    for earlier, later in combinations(texts, 2):
        both = set(texts[earlier]) & set(texts[later])
        if both:
            rows = sum(text in both for text in texts[later])
            shared.setdefault(later, {})[earlier] = {"texts": len(both), "rows": rows}
    return shared


def shared_in_words(shared: Shared, rows: Mapping[str, int]) -> list[str]:
    """Describe what splits share; for the download's log and the summary's caveats.

    Args:
        shared: As `shared_texts` counts it, and task.json has it.
        rows: How many rows each split has.

    >>> shared_in_words({"test": {"train": {"texts": 5, "rows": 6}}}, {"test": 120})
    ['6 of 120 rows of test (5.0 %) have a text that train has, too (5 texts)']
    """
    return [
        f"{n['rows']} of {rows[later]} rows of {later} ({100 * n['rows'] / rows[later]:.1f} %) "
        f"have a text that {earlier} has, too ({n['texts']} texts)"
        for later, earliers in shared.items()
        for earlier, n in earliers.items()
    ]


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
