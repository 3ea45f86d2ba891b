"""KnOTS: TIES in a basis that the members share (Stoica et al. 2024, arXiv 2410.19735)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from adarank.factors.svd import Update
from adarank.merging.methods.spectra import compact_svd
from adarank.merging.methods.ties import ties


def knots_ties(
    vectors: Tensor | Sequence[Update], *, scaling: float = 1.0, density: float = 0.2
) -> Tensor | Update:
    """Merge the right parts of [tau_1 .. tau_T] = U diag(sigma) [V_1 .. V_T] by TIES.

    The result is U diag(sigma) TIES(V_1 .. V_T), trimmed within the weight. Adapters stay in
    their factors: with Q R = [s_1 B_1 .. s_T B_T], the decomposition is that of the (sum r) x
    (T d_in) matrix [R_1 A_1 .. R_T A_T]. Tensors that are no matrices are merged by TIES itself.

    Args:
        vectors: Task vectors of one weight, shape (n_tasks, *weight), or the adapters' factors.
        scaling: lambda.
        density: Share of the entries of each V_t that is kept, in (0, 1].

    Returns:
        What to add to the base's weight; factors for factors.
    """
    if isinstance(vectors, Tensor):
        if vectors.ndim != 3:
            return ties(vectors, scaling=scaling, density=density)
        u, sigma, vh = compact_svd(torch.cat(list(vectors), dim=1))
        parts = torch.stack(vh.split(vectors.shape[2], dim=1))
        return (u * sigma) @ ties(parts, scaling=scaling, density=density)
    updates = [update.double() for update in vectors]
    q, r = torch.linalg.qr(torch.cat([update.scale * update.b for update in updates], dim=1))
    blocks = r.split([update.rank for update in updates], dim=1)
    side_by_side = [block @ update.a for block, update in zip(blocks, updates, strict=True)]
    u, sigma, vh = compact_svd(torch.cat(side_by_side, dim=1))
    parts = torch.stack(vh.split(updates[0].a.shape[1], dim=1))
    return Update(ties(parts, scaling=scaling, density=density), q @ (u * sigma))
