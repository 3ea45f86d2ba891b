"""A prompt and its response as tokens, and which of them count."""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from transformers import PreTrainedTokenizerBase

from adarank.errors import input_error
from adarank.tasks.base import Encoded, Example
from adarank.tasks.tokens import UNCOUNTED

Span = tuple[int, int]


@dataclass(frozen=True)
class Continuation:
    """Tokenizes prompt and response as the one text that they are.

    Tokenized apart, the two would meet in tokens that no text has: many tokenizers begin every
    text with a space of their own, or keep a space with the word that follows it. So the text is
    tokenized whole, and each token's place in it says whose it is. A token that spans the seam
    (the space that ends the prompt, and the first word) is the response's.

    Attributes:
        tokenizer: The model's.
        max_length: Tokens at most, special ones included; what is beyond is cut off the end.
        loss_on: Whether all tokens count, or the response's only. The first token of a text
            never does: no token before it predicts it.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    loss_on: Literal["all", "response"]

    def encode(self, rows: pd.DataFrame) -> Encoded:
        """Make examples with input_ids, labels and bytes, those of the counted text.

        The text ends with the tokenizer's end-of-text token, if it has one, unless it was cut.

        Args:
            rows: Columns `prompt` and `response`.

        Raises:
            InputError: No row has a token that counts.
        """
        prompts = rows["prompt"].tolist()
        texts = [prompt + rest for prompt, rest in zip(prompts, rows["response"], strict=True)]
        # Verbose, it would warn of each text that is longer than the model takes.
        encoded = self.tokenizer(
            texts, return_offsets_mapping=True, return_attention_mask=False, verbose=False
        )
        columns: Any = encoded["input_ids"], encoded["offset_mapping"]
        tokens = [self._ended(*row) for row in zip(texts, *columns, strict=True)]
        parts = zip(prompts, texts, tokens, strict=True)
        examples = [self._example(prompt, text, *row) for prompt, text, row in parts]
        truncated = sum(len(ids) > self.max_length for ids, _ in tokens)
        uncounted = sum(not _counts(example) for example in examples)
        if uncounted == len(examples):
            raise self._nothing_counts(len(examples))
        unanswered = sum(
            not self._answered(prompt, spans)
            for prompt, (_, spans) in zip(prompts, tokens, strict=True)
        )
        return Encoded(examples, truncated, uncounted, unanswered)

    def _ended(self, text: str, ids: list[int], spans: list[Span]) -> tuple[list[int], list[Span]]:
        end: Any = self.tokenizer.eos_token_id
        if end is None or (ids and ids[-1] == end):
            return ids, spans
        return [*ids, end], [*spans, (len(text), len(text))]

    def _answered(self, prompt: str, spans: list[Span]) -> bool:
        """Return whether some of the response is among the tokens that are kept."""
        return any(end > len(prompt) for _, end in spans[: self.max_length])

    def _example(self, prompt: str, text: str, ids: list[int], spans: list[Span]) -> Example:
        """Cut a row to length, and mark what counts: all from the first token that does."""
        seam = len(prompt) if self.loss_on == "response" else 0
        past = (index for index, (_, end) in enumerate(spans) if end > seam)
        first = min(max(1, next(past, len(ids))), self.max_length)
        kept = ids[: self.max_length]
        return {
            "input_ids": kept,
            "labels": [UNCOUNTED] * len(kept[:first]) + kept[first:],
            "bytes": _size(text, spans, first, len(kept)),
        }

    def _nothing_counts(self, n_rows: int) -> Exception:
        return input_error(
            "no row has a token to learn from or to measure",
            where="max_length",
            got=f"{self.max_length} tokens, in which no response of {n_rows} rows begins",
            expected="room for the prompts and some of their responses",
            remedy="a larger finetune.max_length, or shorter prompts (dataset.templates)",
        )


def require_offsets(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that cannot tell where in the text a token stands.

    Raises:
        InputError: It is not one of the tokenizers library's.
    """
    if not tokenizer.is_fast:
        raise input_error(
            "the tokenizer cannot tell which characters a token stands for",
            where="data/model",
            got=type(tokenizer).__name__,
            expected="a tokenizer with a tokenizer.json",
            remedy="another model.source",
        )


def _size(text: str, spans: list[Span], first: int, n_kept: int) -> int:
    """Count the bytes of the text that the counted tokens stand for.

    A token's place may leave out the space before it, so the text of a token is taken to begin
    where the one before it ends.
    """
    if first >= n_kept:
        return 0
    begin = max(end for _, end in spans[:first])
    end = len(text) if n_kept == len(spans) else max(end for _, end in spans[:n_kept])
    return len(text[begin:end].encode())


def _counts(example: Example) -> bool:
    return any(label != UNCOUNTED for label in example["labels"])
