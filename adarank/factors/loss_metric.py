"""Truncation by what the loss sees of an update, not by its Frobenius norm.

An update dW of y = W x moves y by dW x and the loss, to second order and with the Fisher
information bounded by its trace, by at most g ||dW x||^2 / 2, where g = ||dloss/dy||^2. With
M = E[g x x^T] + eps I = L L^T the mean of that is ||dW L||_F^2 / 2, so the best truncation of rank
k is the SVD of dW L cut at k and taken back through L^-1. Cut there, dW L becomes U_k U_k^T dW L,
so dW becomes U_k U_k^T dW: L^-1 cancels. And U, sigma follow from B and the r x r matrix A M A^T
alone, the second moment of A x: the activations between the two factors. No d_in x d_in matrix is
needed.

Weighting each x with its own g, and not the mean of x x^T with the mean of g, matters where the
loss reads few of the tokens: a classifier's last block moves nothing but its first token.
"""

import torch
from torch import Tensor

from adarank.errors import input_error
from adarank.factors.svd import Components, Update, refuse_non_finite


def decompose_by_loss(update: Update, moment: Tensor, weight: float = 1.0) -> Components:
    """Split an update by the SVD of s B A L, taken back through L^-1.

    Args:
        update: The update s B A.
        moment: A M A^T, shape (rank, rank), symmetric and positive semidefinite: the mean of
            g (A x)(A x)^T over inputs x, plus eps A A^T (`regularised`).
        weight: Multiplies the moment, at least 0: the mean of g, where the moment is without it.

    Returns:
        Parts u_i (u_i^T s B A), whose energies sigma_i^2 estimate (twice) what leaving each out
        moves the loss. `truncate` applies to them as to an SVD's.

    Raises:
        InputError: Non-finite factors, or a moment of another shape, not finite or not of a
            second moment.
    """
    refuse_non_finite(update)
    _refuse_moment(update, moment, weight)
    factors = update.double()
    values, vectors = torch.linalg.eigh(moment.double())
    root = vectors * values.clamp(min=0).sqrt()  # root root^T = A M A^T
    q_b, r_b = torch.linalg.qr(factors.b)
    u, sigma, _ = torch.linalg.svd(update.scale * weight**0.5 * (r_b @ root), full_matrices=False)
    u = q_b @ u
    rows = update.scale * (u.T @ factors.b) @ factors.a
    return Components(u, rows, sigma.square())


def regularised(moment: Tensor, update: Update, input_energy: float, share: float) -> Tensor:
    """Add eps A A^T to A E[g x x^T] A^T, eps being a share of the mean input energy per dimension.

    Args:
        moment: The mean, or sum, of g (A x)(A x)^T, shape (rank, rank).
        update: The update that A belongs to.
        input_energy: The mean, or sum, of g ||x||^2.
        share: eps relative to input_energy / d_in; keeps directions alive that few inputs take.
    """
    rows = update.a.double()
    eps = share * input_energy / rows.shape[1]
    return moment.double() + eps * (rows @ rows.T)


def _refuse_moment(update: Update, moment: Tensor, weight: float) -> None:
    square = moment.shape == (update.rank, update.rank)
    if square and bool(moment.isfinite().all()) and 0 <= weight < float("inf"):
        return
    raise input_error(
        "this is no second moment of the update's inputs",
        got=f"shape {tuple(moment.shape)}, weight {weight}",
        expected=f"finite numbers of shape {(update.rank, update.rank)}, a weight of at least 0",
        remedy="measure the mean of (A x)(A x)^T with this very A",
    )
