"""TSV-M: task singular vectors, decorrelated (Gargiulo et al. 2024, arXiv 2412.00081)."""

import torch
from torch import Tensor

from adarank.merging.methods.spectra import compact_svd, polar, smaller_side


def tsv_m(vectors: Tensor, *, scaling: float = 1.0, size: int | None = None) -> Tensor:
    """Compute lambda U_o diag(sigma) V_o^T of the tasks' leading components.

    Of each task the first k = min(d_out, d_in) / T components; their U's and V's are concatenated
    over the tasks and each replaced by its polar factor. Tensors that are no matrices are averaged.

    Args:
        vectors: Task vectors of one weight, shape (n_tasks, *weight).
        scaling: lambda.
        size: min(d_out, d_in) where the vectors are cores of larger weights.

    Returns:
        What to add to the base's weight.
    """
    if vectors.ndim != 3:
        return vectors.mean(dim=0)
    u, sigma, vh, _ = decorrelated(vectors, size)
    return scaling * (u * sigma) @ vh


def decorrelated(vectors: Tensor, size: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Orthogonalise the tasks' leading singular vectors against one another.

    Returns:
        U_o, sigma and V_o^T, shapes (d_out, K), (K,), (K, d_in), and the task of each component,
        shape (K,).
    """
    count = max(1, smaller_side(vectors, size) // len(vectors))
    parts = [compact_svd(vector) for vector in vectors]
    tasks = [torch.full((len(sigma[:count]),), task) for task, (_, sigma, _) in enumerate(parts)]
    u = polar(torch.cat([u[:, :count] for u, _, _ in parts], dim=1))
    vh = polar(torch.cat([vh[:count] for _, _, vh in parts]).T).T
    return u, torch.cat([sigma[:count] for _, sigma, _ in parts]), vh, torch.cat(tasks)
