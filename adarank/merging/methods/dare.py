"""DARE: drop and rescale (Yu et al. 2023, arXiv 2311.03099)."""

import torch
from torch import Generator, Tensor


def dare(
    vectors: Tensor, generator: Generator, *, scaling: float = 0.3, drop: float = 0.5
) -> Tensor:
    """Compute lambda sum_t of the task vectors with entries dropped at random and rescaled.

    Args:
        vectors: Task vectors of one weight, shape (n_tasks, *weight).
        generator: Decides which entries are dropped.
        scaling: lambda.
        drop: The probability p of dropping an entry, in [0, 1).

    Returns:
        What to add to the base's weight.
    """
    return scaling * drop_and_rescale(vectors, generator, drop).sum(dim=0)


def drop_and_rescale(vectors: Tensor, generator: Generator, drop: float) -> Tensor:
    """Set each entry to 0 with probability p and divide the others by 1 - p: the mean stays."""
    # Drawn in float32 whatever the vectors are, so that the same seed drops the same entries.
    kept = torch.rand(vectors.shape, generator=generator) >= drop
    return torch.where(kept.to(vectors.device), vectors / (1 - drop), 0.0)
