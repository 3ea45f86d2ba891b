"""Iso-C: isotropic merging in the common subspace (Marczak et al. 2025, arXiv 2502.04959)."""

from torch import Tensor

from adarank.merging.methods.spectra import compact_svd


def iso_c(vectors: Tensor, *, scaling: float = 1.0) -> Tensor:
    """Compute lambda mean(sigma) U V^T of the summed task vectors' decomposition.

    Every direction of the sum gets the same weight. The mean is over the numerical rank: for whole
    models that is min(d_out, d_in), as published; for adapters at most the sum of their ranks.
    Tensors that are no matrices are averaged.

    Args:
        vectors: Task vectors of one weight, shape (n_tasks, *weight).
        scaling: lambda.

    Returns:
        What to add to the base's weight.
    """
    if vectors.ndim != 3:
        return vectors.mean(dim=0)
    u, sigma, vh = compact_svd(vectors.sum(dim=0))
    return scaling * sigma.mean() * (u @ vh) if len(sigma) else vectors.sum(dim=0)
