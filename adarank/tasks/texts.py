"""Texts, or pairs of texts, as a model with one answer per text reads them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from transformers import BatchEncoding, DataCollatorWithPadding, PreTrainedTokenizerBase

from adarank.tasks.base import Batch, Encoded, Example


def encode_texts(
    tokenizer: PreTrainedTokenizerBase, rows: pd.DataFrame, max_length: int, labels: Sequence[Any]
) -> Encoded:
    """Tokenize the column `text`, together with the column `pair` where there is one.

    Of a pair that is too long, tokens are taken off whichever text is the longer at the time,
    so that a short text keeps its words beside a long one.

    Args:
        tokenizer: The model's.
        rows: The dataset's rows.
        max_length: Tokens of a row at most, special ones included.
        labels: What `labels` is to be in each row's example.
    """
    encoded = tokenizer(
        rows["text"].tolist(),
        rows["pair"].tolist() if "pair" in rows else None,
        truncation=True,
        max_length=max_length,
        padding=False,
    )
    fields = list(encoded)
    examples = [
        {"labels": label} | {field: encoded[field][index] for field in fields}
        for index, label in enumerate(labels)
    ]
    return Encoded(examples, sum(cut_rows(encoded)))


def cut_rows(encoded: BatchEncoding) -> list[bool]:
    """Return for each row whether the tokenizer truncated it."""
    if encoded.encodings is None:
        # Only tokenizers written in Rust keep what they cut off; all current ones are.
        return [False] * len(encoded["input_ids"])  # pyright: ignore[reportArgumentType]
    return [bool(row.overflowing) for row in encoded.encodings]


def pad_texts(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> Batch:
    """Pad examples to the longest of the batch, on the side that the tokenizer pads on."""
    return dict(DataCollatorWithPadding(tokenizer)(list(examples)))
