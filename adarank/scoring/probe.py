"""The probe: texts made into batches of model inputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from adarank.errors import input_error
from adarank.scoring.outputs import Batch


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
    max_length: int = 128,
    batch_size: int = 32,
    device: str | torch.device = "cpu",
) -> Probe:
    """Tokenize texts into batches of similar lengths, so that padding costs little.

    Args:
        texts: The probe; the score is a mean over them, so their order does not matter.
        tokenizer: The model's own. Without a padding token, the end of text pads.
        max_length: Longest text in tokens; longer ones are cut and counted.
        batch_size: Most texts per batch; batches are as equal as can be.
        device: Where the tensors go.

    Raises:
        InputError: No texts, or an empty one.
    """
    if not texts or not all(text.strip() for text in texts):
        raise input_error(
            "the probe is empty or holds an empty text",
            where="probe.source",
            got=f"{len(texts)} texts, {sum(not text.strip() for text in texts)} of them empty",
            expected="at least one text, none empty",
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    limit = min(max_length, tokenizer.model_max_length)
    lengths = [len(ids) for ids in tokenizer(list(texts), truncation=False)["input_ids"]]
    order = sorted(range(len(texts)), key=lambda row: (lengths[row], row))
    parts = np.array_split(np.array(order), math.ceil(len(order) / batch_size))
    batches = [
        _encode([texts[int(row)] for row in part], tokenizer, limit, device) for part in parts
    ]
    return Probe(batches, len(texts), sum(length > limit for length in lengths))


def _encode(
    texts: list[str],
    tokenizer: PreTrainedTokenizerBase,
    limit: int,
    device: str | torch.device,
) -> dict[str, Tensor]:
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
    return {name: values.to(device) for name, values in encoded.items()}
