"""The objectives of learned merging: what predictions are worth without any label."""

from collections.abc import Callable

from torch import Tensor

from adarank.errors import input_error


def mean_entropy(logits: Tensor) -> Tensor:
    """Compute the mean over rows of -sum_c p_c log p_c, in nats (Yang et al. 2023, 2310.02575).

    A model that predicts one class for every row has the least there is.

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


def negative_information(logits: Tensor) -> Tensor:
    """Compute the mean entropy less the entropy of the mean prediction, in nats.

    Its negative is the mutual information of row and predicted class. It is least where every row
    is certain and all classes are as frequent, so that one class for all rows gains nothing (Krause
    et al. 2010, NIPS; Liang et al. 2020, arXiv 2002.08546). Tasks whose classes are far from
    equally frequent pay for that.

    Args:
        logits: Shape (rows, classes), at least two classes; the rows of one batch of one task.

    Raises:
        InputError: Logits of another shape: the task is no classification.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
        >>> round(negative_information(logits).item(), 4)  # certain, and both classes: -log 2
        -0.6931
        >>> abs(round(negative_information(logits[:1]).item(), 4))  # certain, and one class
        0.0
    """
    mean = logits.float().softmax(-1).mean(0, keepdim=True)
    return mean_entropy(logits) - mean_entropy(mean.clamp_min(_LEAST).log())


_LEAST = 1e-30  # of which float32 has a logarithm and a gradient

OBJECTIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "entropy": mean_entropy,
    "information": negative_information,
}
"""By name: what is lowered, of the logits of a task's batch."""
