"""Random updates for the tests of factors."""

import torch

from adarank.factors.svd import Update


def update(
    d_out: int,
    d_in: int,
    rank: int,
    seed: int = 0,
    scale: float = 0.5,
    kind: torch.dtype | None = None,
) -> Update:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(rank, d_in, generator=generator, dtype=torch.float64)
    b = torch.randn(d_out, rank, generator=generator, dtype=torch.float64)
    return Update(a.to(kind or torch.float64), b.to(kind or torch.float64), scale)
