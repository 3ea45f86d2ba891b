"""TIES: trim, elect signs, merge (Yadav et al. 2023, arXiv 2306.01708)."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from adarank.errors import input_error


def ties(
    vectors: Tensor,
    *,
    scaling: float = 1.0,
    density: float = 0.2,
    thresholds: Tensor | None = None,
) -> Tensor:
    """Compute lambda times the mean of the entries that agree with the elected sign.

    1. Trim: of each task keep the largest `density` of all entries by magnitude.
    2. Elect: an entry's sign is that of its sum over the tasks.
    3. Merge: the mean of the kept entries of that sign.

    Args:
        vectors: Task vectors of one weight, shape (n_tasks, *weight).
        scaling: lambda.
        density: Share of entries kept, in (0, 1]; used where `thresholds` is None.
        thresholds: By task, shape (n_tasks,): the magnitude from which entries are kept. The
            paper trims each task's whole vector, over all weights (`magnitude_threshold`); None
            trims within this weight.

    Returns:
        What to add to the base's weight.

    Example:
        >>> import torch
        >>> ties(torch.tensor([[3.0, -1.0, 0.1], [1.0, 2.0, 0.2]]), density=0.7).tolist()
        [2.0, 2.0, 0.0]
    """
    if thresholds is None:
        bounds = [magnitude_threshold(lambda v=v: [v], density) for v in vectors]
        thresholds = torch.tensor(bounds)
    shape = (-1, *[1] * (vectors.ndim - 1))
    # In float32, in which the thresholds were found.
    large = vectors.float().abs() >= thresholds.float().to(vectors.device).reshape(shape)
    kept = torch.where(large, vectors, 0.0)
    return scaling * disjoint_mean(kept)


def disjoint_mean(vectors: Tensor) -> Tensor:
    """Elect each entry's sign by the sum, and average the non-zero entries of that sign."""
    sign = vectors.sum(dim=0).sign()
    agreeing = (vectors.sign() == sign) & (vectors != 0)
    total = torch.where(agreeing, vectors, 0.0).sum(dim=0)
    return total / agreeing.sum(dim=0).clamp(min=1)


def magnitude_threshold(tensors: Callable[[], Iterable[Tensor]], density: float) -> float:
    """Find the magnitude from which the largest `density` of all entries are kept.

    Exact to float32 and in constant memory: the bits of a non-negative float32, read as an
    integer, sort as the numbers do, so two passes count them by their upper and lower 16 bits.

    Args:
        tensors: Gives the tensors of one task, from the first, at every call.
        density: Share of entries kept, in (0, 1].

    Raises:
        InputError: A density outside (0, 1].
    """
    if not 0 < density <= 1:
        raise input_error("no such density", where="density", got=density, expected="0 < x <= 1")
    upper = sum(torch.bincount(_bits(t) >> 16, minlength=1 << 16) for t in tensors())
    assert isinstance(upper, Tensor)
    wanted = int(density * int(upper.sum()))
    if wanted == 0:
        return float("inf")
    high, above = _bucket(upper, wanted)
    lower = torch.zeros(1 << 16, dtype=torch.int64)
    for tensor in tensors():
        bits = _bits(tensor)
        lower += torch.bincount(bits[bits >> 16 == high] & 0xFFFF, minlength=1 << 16)
    low, _ = _bucket(lower, wanted - above)
    return float(torch.tensor((high << 16) | low, dtype=torch.int32).view(torch.float32))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().float().abs().flatten().view(torch.int32).long()


def _bucket(counts: Tensor, wanted: int) -> tuple[int, int]:
    """The bucket that holds the wanted-th largest entry, and how many lie above it."""
    from_above = counts.flip(0).cumsum(0)
    index = int(torch.searchsorted(from_above, wanted))
    bucket = len(counts) - 1 - index
    return bucket, int(from_above[index] - counts[bucket])
