"""What a batch's loss is the mean of."""

from typing import Any

from torch import Tensor, nn

Batch = dict[str, Tensor]
IGNORED = -100  # the label that transformers' losses leave out


def counted_terms(model: nn.Module, batch: Batch) -> int:
    """Count what a batch's loss is the mean of: labelled tokens, or rows with a label each.

    A decoder without an encoder predicts each token from those before it, so the label of a
    row's first token counts for nothing.
    """
    labels = batch.get("labels")
    if labels is None or labels.dim() == 1 or labels.is_floating_point():
        return rows_of(batch)
    config: Any = model.config
    predicted = labels if getattr(config, "is_encoder_decoder", False) else labels[:, 1:]
    return int((predicted != IGNORED).sum())


def rows_of(batch: Batch) -> int:
    """Count a batch's rows."""
    return len(next(iter(batch.values())))
