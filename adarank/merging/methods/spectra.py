"""Singular value decompositions as the methods need them: no component that is only rounding."""

import torch
from torch import Tensor


def compact_svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute U, sigma and V^T without the components whose sigma is zero up to rounding.

    The singular vectors of a zero sigma are arbitrary, and a method that orthogonalises or
    equalises them (TSV-M, Iso-C) would put those arbitrary directions into the merged weight. An
    adapter of rank 8 in a 384 x 384 weight has 376 of them.

    Returns:
        Shapes (d_out, k), (k,), (k, d_in), sigma descending; k is the numerical rank.
    """
    u, sigma, vh = torch.linalg.svd(matrix, full_matrices=False)
    limit = torch.finfo(matrix.dtype).eps * max(matrix.shape) * sigma.max()
    rank = int((sigma > limit).sum())
    return u[:, :rank], sigma[:rank], vh[:rank]


def polar(matrix: Tensor) -> Tensor:
    """The polar factor P Q^T of P diag(s) Q^T: the closest matrix with orthonormal columns.

    Where columns are dependent it is the partial isometry on their span, which is unique.
    """
    p, _, qh = compact_svd(matrix)
    return p @ qh


def component_count(share: float, size: int) -> int:
    """How many components a share of a weight's smaller side is; at least one."""
    return max(1, round(share * size))


def smaller_side(vectors: Tensor, size: int | None) -> int:
    """min(d_out, d_in) of the weights; `size` where the vectors are cores of larger weights."""
    return min(vectors.shape[1:]) if size is None else size
