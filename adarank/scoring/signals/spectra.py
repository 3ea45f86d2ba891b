"""Singular values, and how many of them are kept."""

import numpy as np
import torch
from torch import Tensor


@torch.no_grad()
def squared_singular_values(matrix: Tensor) -> np.ndarray:
    """Compute a matrix's squared singular values, exactly, highest first.

    Args:
        matrix: Shape (rows, columns); its transpose has the same.

    Returns:
        Float64, shape (min(rows, columns),). (The squares of float32 gradients would underflow.)
    """
    values = torch.linalg.svdvals(matrix.detach().float())
    return values.double().square().cpu().numpy()
