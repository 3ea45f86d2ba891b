"""The probe: texts made into batches of model inputs."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from adarank.errors import input_error
from adarank.scoring.outputs import Batch
from adarank.scoring.text_inputs import (
    check_vocabulary,
    most_tokens,
    padding_token,
    refuse_other_inputs,
    vocabulary_size,
    with_decoder_inputs,
)


@dataclass(frozen=True)
class Probe:
    """Batches of inputs, and what was done to the texts.

    Attributes:
        batches: Mappings of tensors of shape (batch, longest text of the batch in tokens).
        rows: Texts in all.
        truncated: Texts that were longer than the limit and cut.
    """

    batches: Sequence[Batch]
    rows: int
    truncated: int


def make_probe(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    model: nn.Module | None = None,
    max_length: int = 128,
    batch_size: int = 32,
    device: str | torch.device = "cpu",
) -> Probe:
    """Tokenize texts into batches of similar lengths, so that padding costs little.

    Args:
        texts: The probe; the score is a mean over them, so their order does not matter.
        tokenizer: The model's own, left as it is. Without a padding token that the model knows,
            another pads; see `padding_token`.
        model: What will read them, if known: its own limit on their length holds too, and its
            decoder, if it has one, gets its inputs; see `with_decoder_inputs`.
        max_length: Longest text in tokens; longer ones are cut and counted.
        batch_size: Most texts per batch; batches are as equal as can be.
        device: Where the tensors go.

    Raises:
        InputError: No texts, an empty one, a model that reads no text, or tokens it does not know.
    """
    if not texts or not all(text.strip() for text in texts):
        raise input_error(
            "the probe is empty or holds an empty text",
            where="probe.source",
            got=f"{len(texts)} texts, {sum(not text.strip() for text in texts)} of them empty",
            expected="at least one text, none empty",
            remedy="name a file with a text a line",
        )
    limit = min(max_length, tokenizer.model_max_length)
    if model is not None:
        refuse_other_inputs(model)
        limit = min(limit, most_tokens(model) or limit)
    lengths = [len(ids) for ids in tokenizer(list(texts), truncation=False)["input_ids"]]
    order = sorted(range(len(texts)), key=lambda row: (lengths[row], row))
    parts = np.array_split(np.array(order), math.ceil(len(order) / batch_size))
    with _padding(tokenizer, None if model is None else vocabulary_size(model)):
        encoded = [_encode([texts[int(row)] for row in part], tokenizer, limit) for part in parts]
    if model is not None:
        for batch in encoded:
            check_vocabulary(model, batch)
        encoded = [with_decoder_inputs(model, batch) for batch in encoded]
    batches = [{name: part.to(device) for name, part in batch.items()} for batch in encoded]
    return Probe(batches, len(texts), sum(length > limit for length in lengths))


def _encode(texts: list[str], tokenizer: PreTrainedTokenizerBase, limit: int) -> dict[str, Tensor]:
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
    return dict(encoded.items())


@contextmanager
def _padding(tokenizer: PreTrainedTokenizerBase, vocabulary: int | None) -> Iterator[None]:
    """Make a tokenizer pad on the right, and restore its side after; it is the caller's own."""
    side, token = tokenizer.padding_side, tokenizer.pad_token
    try:
        tokenizer.padding_side = "right"
        tokenizer.pad_token = padding_token(tokenizer, vocabulary)
        yield
    finally:
        tokenizer.padding_side, tokenizer.pad_token = side, token
