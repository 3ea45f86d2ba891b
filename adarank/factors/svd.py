"""A low-rank update s B A and its singular value decomposition, from the factors alone.

The dense d_out x d_in matrix is never formed: with B = Q_b R_b and A^T = Q_a R_a, the singular
values of s B A are those of the r x r matrix s R_b R_a^T (Golub and Van Loan, Matrix
Computations, 5.2 and 8.6). All of it is computed in float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from adarank.errors import input_error


@dataclass(frozen=True)
class Update:
    """What an adapter adds to one weight: scale * b @ a.

    Attributes:
        a: Shape (rank, d_in), LoRA's A.
        b: Shape (d_out, rank), LoRA's B.
        scale: The factor before B A; alpha / rank for plain LoRA.

    Raises:
        InputError: Shapes that do not multiply.
    """

    a: Tensor
    b: Tensor
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.a.ndim != 2 or self.b.ndim != 2 or self.a.shape[0] != self.b.shape[1]:
            raise input_error(
                "these are no factors of one update",
                got=f"A {tuple(self.a.shape)}, B {tuple(self.b.shape)}",
                expected="A of shape (rank, d_in), B of shape (d_out, rank)",
                remedy="pass lora_A.weight and lora_B.weight of one module",
            )

    @property
    def rank(self) -> int:
        """Rows of A, which are columns of B; the true rank may be lower."""
        return self.a.shape[0]

    @property
    def parameters_per_rank(self) -> int:
        """d_in + d_out: what one more rank costs."""
        return self.a.shape[1] + self.b.shape[0]

    @property
    def parameters(self) -> int:
        """Entries of both factors."""
        return self.rank * self.parameters_per_rank

    def double(self) -> "Update":
        """The same update in float64."""
        return Update(self.a.double(), self.b.double(), self.scale)

    def dense(self) -> Tensor:
        """The d_out x d_in matrix itself, in float64; for small modules and tests."""
        return self.scale * (self.b.double() @ self.a.double())


@dataclass(frozen=True)
class Components:
    """An update as a sum of rank-one parts, sum_i u_i rows_i, the most valuable first.

    Attributes:
        u: Shape (d_out, k).
        rows: Shape (k, d_in); u @ rows is the update.
        energies: Shape (k,), descending: what leaving each part out costs, in a squared norm.
    """

    u: Tensor
    rows: Tensor
    energies: Tensor


@dataclass(frozen=True)
class Svd:
    """The singular value decomposition of an update, U diag(sigma) V^T.

    Attributes:
        u: Shape (d_out, k), orthonormal columns.
        sigma: Shape (k,), descending; k = min(rank, d_in, d_out).
        vh: Shape (k, d_in), orthonormal rows.
    """

    u: Tensor
    sigma: Tensor
    vh: Tensor

    @property
    def components(self) -> Components:
        """The rank-one parts, each worth sigma^2: its share of the squared Frobenius norm."""
        return Components(self.u, self.sigma[:, None] * self.vh, self.sigma.square())


def decompose(update: Update) -> Svd:
    """Compute the SVD of s B A from QR decompositions of both factors.

    Costs O((d_in + d_out) r^2) operations and no more memory than the factors.

    Args:
        update: The factors and scale.

    Returns:
        U, sigma and V^T in float64. Each column of U has a positive entry of
        largest magnitude, so that equal factors give equal signs.

    Raises:
        InputError: A factor or the scale is not finite.

    Example:
        >>> import torch
        >>> update = Update(torch.eye(2, 5), torch.eye(4, 2), scale=3.0)
        >>> decompose(update).sigma.tolist()
        [3.0, 3.0]
    """
    refuse_non_finite(update)
    factors = update.double()
    q_b, r_b = torch.linalg.qr(factors.b)
    q_a, r_a = torch.linalg.qr(factors.a.T)
    u, sigma, vh = torch.linalg.svd(update.scale * (r_b @ r_a.T), full_matrices=False)
    u, vh = q_b @ u, vh @ q_a.T
    signs = _signs(u)
    return Svd(u * signs, sigma, signs[:, None] * vh)


def refuse_non_finite(update: Update) -> None:
    """Raise InputError if a factor or the scale is not finite."""
    finite = torch.isfinite(torch.tensor(update.scale))
    if not (finite and update.a.isfinite().all() and update.b.isfinite().all()):
        raise input_error(
            "the factors are not finite",
            got=non_finite(update),
            expected="finite numbers",
            remedy="the adapter's training diverged; use an earlier checkpoint",
        )


def non_finite(update: Update) -> str:
    """Describe how many numbers of an update are not finite."""
    counts = {name: int((~t.isfinite()).sum()) for name, t in (("A", update.a), ("B", update.b))}
    found = [f"{count} of {name}'s entries" for name, count in counts.items() if count]
    return ", ".join(found) or f"scale {update.scale}"


def norm(update: Update) -> float:
    """Compute the Frobenius norm of s B A, in float64 and without forming it."""
    return float(torch.linalg.vector_norm(decompose(update).sigma))


def effective_rank(update: Update) -> float:
    """Compute how many directions an update uses: exp of the entropy of its singular values.

    exp(-sum_i p_i log p_i) with p_i = sigma_i / sum_j sigma_j: 1 where one direction holds all,
    the rank where all hold the same (Roy and Vetterli 2007, "The effective rank: a measure of
    effective dimensionality", EUSIPCO). 0 for an update of zeros.

    Example:
        >>> import torch
        >>> effective_rank(Update(torch.eye(2, 5), torch.eye(4, 2)))
        2.0
    """
    sigma = decompose(update).sigma
    if not sigma.any():
        return 0.0
    return float(torch.special.entr(sigma / sigma.sum()).sum().exp())


def _signs(u: Tensor) -> Tensor:
    largest = u.gather(0, u.abs().argmax(dim=0, keepdim=True))[0]
    return torch.where(largest < 0, -1.0, 1.0).to(u.dtype)
