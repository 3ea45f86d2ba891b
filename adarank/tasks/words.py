"""The words that stand for labels, as a model writes them."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from transformers import PreTrainedTokenizerBase

from adarank.errors import InputError, Problem, input_error


def written(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Turn ids into the text that they write: no special tokens, no space around it."""
    text: Any = tokenizer.decode(list(ids), skip_special_tokens=True)
    return text.strip()


def label_words(
    labels: Iterable[str], tokenizer: PreTrainedTokenizerBase, max_new_tokens: int
) -> tuple[str, ...]:
    """Return each label's word as the tokenizer writes it, which is what answers are compared with.

    A tokenizer may fold case or spaces, so the word that it gives back is not always the one
    that went in.

    Args:
        labels: The words, in the order of the labels' ids.
        tokenizer: The model's.
        max_new_tokens: Tokens written at most.

    Raises:
        InputError: A word of which no token is left, that no answer can hold, or that is
            written like another; every such word at once.
    """
    names = list(labels)
    ids = [_ids(tokenizer, name) for name in names]
    words = [written(tokenizer, row) for row in ids]
    problems = [
        _problem(name, word, len(row), names[words.index(word)], max_new_tokens)
        for name, word, row in zip(names, words, ids, strict=True)
    ]
    if real := [problem for problem in problems if problem]:
        raise InputError(*real)
    return tuple(words)


def label_id(labels: Sequence[str], name: str | None) -> int:
    """Find a label's id by its word; the last one's where none is named.

    Raises:
        InputError: No such label.
    """
    if not labels or name is None:
        return len(labels) - 1
    if name not in labels:
        raise input_error(
            "no such label",
            where="task.positive",
            got=name,
            expected=f"one of: {', '.join(labels)}",
        )
    return labels.index(name)


def refuse_empty(targets: Sequence[Sequence[int]], rows: pd.DataFrame) -> None:
    """Refuse targets of which no token is left.

    Raises:
        InputError: There are some; names the first.
    """
    empty = [index for index, ids in enumerate(targets) if not ids]
    if empty:
        raise input_error(
            "a target comes to no token",
            where=f"target of row {empty[0] + 1}",
            got=f"{rows['target'].iloc[empty[0]]!r} ({len(empty)} such rows)",
            expected="at least one token to write",
            remedy="correct those rows, or dataset.bad_rows: drop",
        )


def _ids(tokenizer: PreTrainedTokenizerBase, word: str) -> list[int]:
    encoded: Any = tokenizer(text_target=word, add_special_tokens=False)
    return list(encoded["input_ids"])


def _problem(name: str, word: str, tokens: int, first: str, room: int) -> Problem | None:
    where, remedy = f"label word {name!r}", "other words in dataset.target_words"
    if not word:
        what = "the word comes to no token that the model could write"
        got = f"{tokens} tokens, all of them unknown or special"
        return Problem(what, where, got, "a word in the tokenizer's vocabulary", remedy)
    if first != name:
        what = "two label words are the same to the tokenizer"
        return Problem(what, where, f"{word!r}, as for {first!r}", "words that differ", remedy)
    if tokens > room:
        what = "the word is longer than what may be written"
        got = f"{tokens} tokens"
        return Problem(what, where, got, f"at most {room}", f"task.max_new_tokens: {tokens}")
    return None
