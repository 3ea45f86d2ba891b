"""Batches of similar length, in a random order; and a batch in parts."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from adarank.models.terms import counted_terms, rows_of
from adarank.tasks.base import Batch, Example


class LengthBatches(Sampler[list[int]]):
    """Group rows into batches of similar length, drawn for each epoch, the batches in random order.

    transformers' own length-grouped sampler hands out each pool longest batch first, so that
    a run sees long and short texts in turns; here the batches are shuffled as well.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows a batch; an epoch's last one may be smaller.
        generator: Decides the order, epoch after epoch; nothing else may draw from it.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, generator: torch.Generator):
        self._lengths = list(lengths)
        self._batch_size = batch_size
        self._generator = generator

    def skip(self, epochs: int) -> None:
        """Draw so many epochs and drop them, for a run that resumes after them."""
        for _ in range(epochs):
            iter(self)

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rows = get_length_grouped_indices(
            self._lengths, self._batch_size, generator=self._generator
        )
        batches = [rows[at : at + self._batch_size] for at in range(0, len(rows), self._batch_size)]
        order = torch.randperm(len(batches), generator=self._generator)
        return iter([batches[int(index)] for index in order])


def length(example: Example) -> int:
    """Count an example's tokens."""
    return len(example["input_ids"])


def divided(model: nn.Module, batch: Batch, parts: int) -> Iterator[tuple[Batch, float]]:
    """Divide a batch's rows into parts, each with its share of what the loss is a mean of.

    Args:
        model: Its configuration says which labels count.
        batch: Tensors with a row each, as a task collates them.
        parts: How many, at most the rows.

    Yields:
        A part, and its share: of the rows, or of the labelled tokens. The sum of the parts' mean
        losses by their shares is the batch's mean loss. Parts in which nothing counts are left out.
    """
    parts = min(parts, rows_of(batch))
    if parts == 1:
        yield batch, 1.0
        return
    cut = {name: values.tensor_split(parts) for name, values in batch.items()}
    each = [{name: pieces[i] for name, pieces in cut.items()} for i in range(parts)]
    counts: list[int] = [counted_terms(model, part) for part in each]
    if not sum(counts):  # nothing to share: the whole batch's loss says so
        yield batch, 1.0
        return
    for part, count in zip(each, counts, strict=True):
        if count:
            yield part, count / sum(counts)
