"""Task arithmetic (Ilharco et al. 2022, arXiv 2212.04089)."""

from torch import Tensor


def task_arithmetic(vectors: Tensor, *, scaling: float = 0.3) -> Tensor:
    """Compute lambda sum_t tau_t.

    Args:
        vectors: Task vectors of one weight, shape (n_tasks, *weight).
        scaling: lambda; to be chosen on validation.

    Returns:
        What to add to the base's weight.

    Example:
        >>> import torch
        >>> task_arithmetic(torch.tensor([[1.0, 2.0], [3.0, -2.0]]), scaling=0.5).tolist()
        [2.0, 0.0]
    """
    return scaling * vectors.sum(dim=0)
