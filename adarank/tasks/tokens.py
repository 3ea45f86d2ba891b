"""Losses of tokens, and batches of token ids."""

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from adarank.tasks.base import Example

UNCOUNTED = -100
"""The label of a token that no loss counts, as everywhere in transformers."""


def mean_nats(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean loss of a batch's counted tokens; every token weighs the same.

    Args:
        logits: Shape (rows, tokens, vocabulary).
        labels: Shape (rows, tokens): the token that each place should give, or UNCOUNTED.

    Returns:
        A scalar with its graph, in nats; 0 where no token counts.
    """
    nats = _nats(logits, labels)
    return nats.sum() / max(1, len(nats))


def token_table(logits: Tensor, labels: Tensor) -> pd.DataFrame:
    """Sum up each row's tokens.

    Args:
        logits: Shape (rows, tokens, vocabulary).
        labels: Shape (rows, tokens), as for `mean_nats`.

    Returns:
        Columns tokens (counted), right (of these, the ones that the model holds likeliest),
        nats (sum) and loss (nats per token; NaN for a row without any).
    """
    counted = labels != UNCOUNTED
    nats = torch.zeros(labels.shape, dtype=torch.float64, device=labels.device)
    nats[counted] = _nats(logits, labels).double()
    right = (logits.argmax(-1) == labels) & counted
    sums = {"tokens": counted.sum(1), "right": right.sum(1), "nats": nats.sum(1)}
    table = pd.DataFrame({name: tensor.cpu().numpy() for name, tensor in sums.items()})
    return table.assign(loss=table["nats"] / table["tokens"])


def total(predictions: pd.DataFrame, column: str) -> float:
    """Sum a column of numbers."""
    return float(predictions[column].to_numpy().sum())


def perplexity(loss: float) -> float | None:
    """Compute e^loss; None where that is beyond what a number can hold."""
    return math.exp(loss) if loss < 700 else None


def padded(examples: Sequence[Example], field: str, fill: int) -> Tensor:
    """Stack a field of examples, filled up on the right to the longest of them.

    Returns:
        Shape (examples, tokens).
    """
    rows = [torch.tensor(example[field], dtype=torch.long) for example in examples]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)


def presence(examples: Sequence[Example]) -> Tensor:
    """Make the attention mask of examples padded on the right: 1 for a token, 0 for padding.

    Returns:
        Shape (examples, tokens).
    """
    ones = [{"mask": [1] * len(example["input_ids"])} for example in examples]
    return padded(ones, "mask", 0)


def _nats(logits: Tensor, labels: Tensor) -> Tensor:
    counted = labels != UNCOUNTED
    # Only the counted places: with a large vocabulary the others would cost memory for nothing.
    return nn.functional.cross_entropy(logits[counted].float(), labels[counted], reduction="none")
