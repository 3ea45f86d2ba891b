"""The plain mean of the members (Wortsman et al. 2022, model soups, arXiv 2203.05482)."""

from torch import Tensor


def average(vectors: Tensor) -> Tensor:
    """Compute (1/T) sum_t tau_t: the mean of the fine-tuned weights, less the base.

    Args:
        vectors: Task vectors of one weight, shape (n_tasks, *weight).

    Returns:
        What to add to the base's weight.
    """
    return vectors.mean(dim=0)
