"""CART: low-rank parts of the members, centred on their mean (Choi et al. 2024, 2412.12153)."""

import torch
from torch import Tensor

from adarank.merging.methods.spectra import compact_svd, component_count, smaller_side


def cart(
    vectors: Tensor, *, scaling: float = 1.0, ratio: float = 0.08, size: int | None = None
) -> Tensor:
    """Compute avg + lambda sum_t SVD_k(tau_t - avg), avg being the mean task vector.

    Tensors that are no matrices are averaged. Where k is no less than the rank of every
    tau_t - avg, nothing is cut and their sum is 0: the result is the average at any lambda. So it
    is with adapters whose ranks add up to no more than k.

    Args:
        vectors: Task vectors of one weight, shape (n_tasks, *weight).
        scaling: lambda.
        ratio: k as a share of min(d_out, d_in), in (0, 1]; .04 to .32 in the paper.
        size: min(d_out, d_in) where the vectors are cores of larger weights.

    Returns:
        What to add to the base's weight.
    """
    mean = vectors.mean(dim=0)
    if vectors.ndim != 3:
        return mean
    count = component_count(ratio, smaller_side(vectors, size))
    merged = torch.zeros_like(mean)
    for vector in vectors:
        u, sigma, vh = compact_svd(vector - mean)
        merged += (u[:, :count] * sigma[:count]) @ vh[:count]
    return mean + scaling * merged
