"""Core space: adapters merged as small matrices (Panariello et al. 2025, arXiv 2509.17786).

The columns of all B's span at most R = sum r dimensions, and so do the rows of all A's. In
orthonormal bases of these spans every task vector is a core M_t of R x R at most, with
tau_t = L M_t N exactly. A rule that commutes with orthogonal maps (sums, singular values) gives
the same result on the cores as on the dense matrices, at a cost of R^3 instead of d^3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adarank.factors.svd import Update
from adarank.merging.methods.spectra import compact_svd
from adarank.merging.task_vectors import Vector


@dataclass(frozen=True)
class CoreSpace:
    """Task vectors of one weight in bases that they share.

    Attributes:
        left: L, shape (d_out, R_out), orthonormal columns: the left singular vectors of the B's
            side by side.
        right: N, shape (R_in, d_in), orthonormal rows: the right singular vectors of the stacked
            A's.
        cores: M, shape (n_tasks, R_out, R_in).
    """

    left: Tensor
    right: Tensor
    cores: Tensor

    @property
    def size(self) -> int:
        """min(d_out, d_in) of the weight."""
        return min(self.left.shape[0], self.right.shape[1])

    def update(self, core: Tensor) -> Update:
        """Return a merged core as the weight's update: L core N, in factors."""
        return Update(self.right, self.left @ core)


def core_space(vectors: Sequence[Vector | None]) -> CoreSpace:
    """Find the shared bases and the cores, in float64 for adapters.

    Args:
        vectors: One a task, all of adapters; None is a member that does not change the weight.
    """
    updates = [vector.double() if isinstance(vector, Update) else None for vector in vectors]
    there = [update for update in updates if update is not None]
    left = compact_svd(torch.cat([update.b for update in there], dim=1))[0]
    right = compact_svd(torch.cat([update.a for update in there]))[2]
    nothing = left.new_zeros(left.shape[1], right.shape[0])
    cores = [
        nothing if update is None else update.scale * (left.T @ update.b) @ (update.a @ right.T)
        for update in updates
    ]
    return CoreSpace(left, right, torch.stack(cores))


def dense_core_space(taus: Tensor) -> CoreSpace:
    """Find the same of dense task vectors, shape (n_tasks, d_out, d_in)."""
    left = compact_svd(torch.cat(list(taus), dim=1))[0]
    right = compact_svd(torch.cat(list(taus)))[2]
    return CoreSpace(left, right, left.T @ taus @ right.T)
