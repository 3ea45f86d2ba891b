"""What a signal's gradients are of: a loss on batches, and how batches are weighed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from adarank.errors import input_error
from adarank.models.terms import Batch, counted_terms


def own_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the loss that a transformers model computes from its batch's `labels`."""
    return model(**batch).loss


@dataclass(frozen=True)
class Objective:
    """A loss that is a mean over terms, so that batches of any size add up to one mean.

    Attributes:
        loss: Computes a batch's loss, a scalar with its graph: the mean over the batch's terms.
            Rows must not see one another.
        terms: Counts a batch's terms.
    """

    loss: Callable[[nn.Module, Batch], Tensor] = own_loss
    terms: Callable[[nn.Module, Batch], int] = counted_terms


OWN = Objective()


def count_terms(model: nn.Module, batches: Sequence[Batch], objective: Objective) -> list[int]:
    """Count the terms of every batch.

    Raises:
        InputError: There is none at all.
    """
    counts = [objective.terms(model, batch) for batch in batches]
    if sum(counts) == 0:
        raise input_error(
            "nothing to learn from",
            where="batches",
            got=f"{len(batches)} batches without a label",
            expected="at least one labelled row or token",
        )
    return counts
