"""DARE, then TIES' signs (Yu et al. 2023, arXiv 2311.03099, with 2306.01708)."""

from torch import Generator, Tensor

from adarank.merging.methods.dare import drop_and_rescale
from adarank.merging.methods.ties import disjoint_mean


def dare_ties(
    vectors: Tensor, generator: Generator, *, scaling: float = 1.0, drop: float = 0.5
) -> Tensor:
    """Compute lambda times TIES' elected mean of the task vectors after DARE's dropping.

    The dropping takes the place of TIES' trimming.

    Args:
        vectors: Task vectors of one weight, shape (n_tasks, *weight).
        generator: Decides which entries are dropped.
        scaling: lambda.
        drop: The probability p of dropping an entry, in [0, 1).

    Returns:
        What to add to the base's weight.
    """
    return scaling * disjoint_mean(drop_and_rescale(vectors, generator, drop))
