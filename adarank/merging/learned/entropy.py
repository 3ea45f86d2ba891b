"""The objective of learned merging: the mean entropy of the predictions, without any label."""

from torch import Tensor

from adarank.errors import input_error


def mean_entropy(logits: Tensor) -> Tensor:
    """Compute the mean over rows of -sum_c p_c log p_c, in nats (Yang et al. 2023, 2310.02575).

    Args:
        logits: Shape (rows, classes), at least two classes.

    Raises:
        InputError: Logits of another shape: the task is no classification.

    Example:
        >>> import torch
        >>> round(mean_entropy(torch.zeros(3, 4)).item(), 4)
        1.3863
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise input_error(
            "the entropy of this head's output is not defined",
            where="members",
            got=f"outputs of shape {tuple(logits.shape)}",
            expected="(rows, classes), at least two classes",
            remedy="merge tasks of another type by a method that needs no texts",
        )
    logs = logits.float().log_softmax(-1)
    return -(logs.exp() * logs).sum(-1).mean()
