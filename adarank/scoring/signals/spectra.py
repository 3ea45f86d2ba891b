"""Singular values and vectors: all, the leading ones by random projections, one by Lanczos."""

from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

_SMALL = 64  # rows up to which all singular values cost less
_CLOSE = 1e-9
_MANY, _ITERATIONS = 8, 4
_NARROW = 512  # up to this smaller side, an exact decomposition with vectors takes no time


@torch.no_grad()
def squared_singular_values(matrix: Tensor) -> np.ndarray:
    """Compute a matrix's squared singular values, highest first.

    They are the eigenvalues of the smaller Gram matrix, M M^T or M^T M, in float64: within
    1e-12 of the largest of those of a float64 SVD, in a fraction of the time.

    Args:
        matrix: Shape (rows, columns); its transpose has the same.

    Returns:
        Float64, shape (min(rows, columns),). (The squares of float32 gradients would underflow.)
    """
    wide = matrix.detach().double()
    wide = wide if wide.shape[0] <= wide.shape[1] else wide.mT
    values = torch.linalg.eigvalsh(wide @ wide.mT)
    return values.flip(0).clamp(min=0).cpu().numpy()


@torch.no_grad()
def leading_squared_singular_values(matrix: Tensor, count: int) -> np.ndarray:
    """Compute a matrix's `count` largest squared singular values, highest first.

    Where both sides are over 8 * count, by randomised subspace iteration (Halko, Martinsson &
    Tropp 2011, arXiv 0909.4061, algorithm 4.4) with twice as many directions and four iterations,
    in float32, from a fixed generator; else exactly. Where the s_i decay as 1 / i or faster, each
    is within 1e-3 of itself; as 1 / sqrt(i), within 5e-3.

    Args:
        matrix: Shape (rows, columns).
        count: At least 1.

    Returns:
        Float64, shape (min(rows, columns, count),).
    """
    if min(matrix.shape) <= _MANY * count:
        return squared_singular_values(matrix)[:count]
    size = float(matrix.abs().max())
    if size == 0:
        return np.zeros(count)
    scaled = matrix.detach().float() / size
    values = squared_singular_values(_range(scaled, count).mT @ scaled)[:count]
    return values * size**2


@torch.no_grad()
def leading_right(matrix: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the leading singular values and right singular vectors of a matrix, in float64.

    Exact where its smaller side is at most 512 or 2 * count; else by randomised subspace
    iteration, as `leading_squared_singular_values`.

    Args:
        matrix: Shape (rows, columns).
        count: How many at most.

    Returns:
        Values, shape (n,), highest first, and orthonormal vectors, shape (n, columns), with
        n = min(count, rows, columns).
    """
    # Of a gradient of 1e-20, float32's squares would be 0.
    wide = matrix.detach().double()
    if min(wide.shape) > max(_NARROW, 2 * count):
        wide = _range(wide, count).mT @ wide
    _, values, vectors = torch.linalg.svd(wide, full_matrices=False)
    # A view would hold the vectors that are not wanted too.
    return values[:count].cpu().numpy(), vectors[:count].clone().cpu().numpy()


def _range(matrix: Tensor, count: int) -> Tensor:
    """Find 2 * count orthonormal columns that nearly span the leading left singular vectors.

    Randomised subspace iteration (Halko, Martinsson & Tropp 2011, arXiv 0909.4061, algorithm
    4.4), from a fixed generator, in the matrix's own precision.
    """
    start = torch.randn(matrix.shape[1], 2 * count, generator=torch.Generator().manual_seed(0))
    basis = _orthonormal(matrix @ start.to(matrix))
    for _ in range(_ITERATIONS):
        basis = _orthonormal(matrix @ _orthonormal(matrix.mT @ basis))
    return basis


def _orthonormal(vectors: Tensor) -> Tensor:
    return torch.linalg.qr(vectors).Q


@torch.no_grad()
def largest_squared_singular_value(matrix: Tensor) -> float:
    """Compute a matrix's largest squared singular value by Lanczos iteration.

    ARPACK's implicitly restarted Lanczos (Lehoucq, Sorensen & Yang 1998) on M M^T or M^T M, which
    is never formed: two products with M a step, on M's device, in float64.

    Args:
        matrix: Shape (rows, columns).

    Returns:
        s_1^2, within 1e-8 of itself.
    """
    wide = matrix.detach().double()
    wide = wide if wide.shape[0] <= wide.shape[1] else wide.mT
    rows = wide.shape[0]
    size = float(wide.abs().max())
    if rows <= _SMALL or size == 0:
        return float(squared_singular_values(matrix)[0])
    wide = wide / size

    def product(vector: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(vector.ravel()).to(wide)
        return (wide @ (wide.mT @ given)).cpu().numpy()

    # scipy's types know neither keyword of its base class.
    operator: Any = LinearOperator
    largest: Any = eigsh
    gram = operator((rows, rows), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(rows)
    found = largest(gram, k=1, which="LA", v0=start, tol=_CLOSE, return_eigenvectors=False)
    return float(found[0]) * size**2
