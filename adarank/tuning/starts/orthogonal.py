"""Random orthogonal rows: what a start along the data's directions must beat."""

import torch
from torch import Tensor

from adarank.tuning.starts.base import ROW_NORM, Given


def rows(given: Given) -> Tensor:
    """Draw an orthonormal frame uniformly (Haar), each row scaled to ROW_NORM.

    It is the Q of a Gaussian matrix's QR decomposition whose R has a positive diagonal (Mezzadri
    2007, arXiv math-ph/0609050). A lower rank of the same seed has the first of these rows.
    """
    gaussian = torch.randn(given.rank, given.d_in, generator=given.draws, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian.T)
    return (ROW_NORM * (q * r.diagonal().sign()).T).float()
