"""Truncation by what the loss sees of an update, not by its Frobenius norm.

An update dW of y = W x moves the loss, to first order, by g^T dW x, where g = dloss/dy. Its mean
square over inputs, with gradients and inputs taken as independent (Martens and Grosse 2015, arXiv
1503.05671), is ||G^1/2 dW M^1/2||_F^2 with G = E[g g^T] and M = E[x x^T]: by the Fisher information
it is twice the mean change of a loss at its minimum. The best truncation of rank k in this norm is
the SVD of G^1/2 dW M^1/2 cut at k and taken back through both roots.

For dW = s B A everything happens in r x r matrices: with H = B^T G B and C = A M A^T, the second
moments of B^T g and of A x, the singular values are those of s H^1/2 C^1/2 = U S V^T, and the cut
update is s B H^-1/2 U_k U_k^T H^1/2 A. Neither G nor M is formed.
"""

import torch
from torch import Tensor

from adarank.errors import input_error
from adarank.factors.svd import Components, Update, refuse_non_finite


def decompose_by_loss(update: Update, inputs: Tensor, gradients: Tensor) -> Components:
    """Split an update by the SVD of s G^1/2 B A M^1/2, taken back through both roots.

    Args:
        update: The update s B A.
        inputs: A M A^T, shape (rank, rank): the mean of (A x)(A x)^T over inputs x.
        gradients: B^T G B, shape (rank, rank): the mean of (B^T g)(B^T g)^T over the same inputs,
            times how often the module runs for one loss. With G = c I, that is c B^T B, the norm
            is sqrt(c) ||dW M^1/2||_F, which looks at the inputs alone.

    Returns:
        Parts that add up to the update, whose energies sigma_i^2 estimate (twice) what leaving
        each out moves the loss. `truncate` applies to them as to an SVD's.

    Raises:
        InputError: Non-finite factors, or a matrix that is not finite or of another shape.
    """
    refuse_non_finite(update)
    _refuse_moments(update, inputs, gradients)
    factors = update.double()
    input_root, _ = _roots(inputs)
    root, inverse = _roots(gradients)
    u, sigma, _ = torch.linalg.svd(update.scale * root @ input_root)
    left = factors.b @ inverse @ u
    return Components(left, update.scale * u.T @ root @ factors.a, sigma.square())


def regularised(moment: Tensor, factor: Tensor, share: float) -> Tensor:
    """Add to a second moment a share of what white inputs of its mean energy would give.

    Args:
        moment: The second moment of A x, or of B^T g; shape (rank, rank).
        factor: A, or B^T; shape (rank, d).
        share: Keeps directions alive that few inputs take, and the inverse roots finite.
    """
    gram = factor.double() @ factor.double().T
    energy = gram.trace()
    return moment + (share * moment.trace() / energy) * gram if energy > 0 else moment


def _roots(moment: Tensor) -> tuple[Tensor, Tensor]:
    """The symmetric square root of a positive semidefinite matrix, and its pseudoinverse."""
    values, vectors = torch.linalg.eigh(moment.double())
    kept = values > 1e-12 * values.max().clamp(min=0)
    roots = torch.where(kept, values.clamp(min=0).sqrt(), 0.0)
    inverse = torch.where(kept, 1 / roots, 0.0)
    return (vectors * roots) @ vectors.T, (vectors * inverse) @ vectors.T


def _refuse_moments(update: Update, *moments: Tensor) -> None:
    square = all(moment.shape == (update.rank, update.rank) for moment in moments)
    if square and all(bool(moment.isfinite().all()) for moment in moments):
        return
    raise input_error(
        "these are no second moments of the update's inputs and gradients",
        got=", ".join(f"shape {tuple(moment.shape)}" for moment in moments),
        expected=f"finite numbers of shape {(update.rank, update.rank)}",
        remedy="measure the means of (A x)(A x)^T and (B^T g)(B^T g)^T with these very factors",
    )
