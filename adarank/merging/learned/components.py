"""The singular components of the members, which AdaRank's masks switch on and off.

Decomposed once, before learning, and frozen. Adapters are decomposed by their cores: nothing of
the weight's own size is formed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from adarank.factors.joining import join
from adarank.factors.svd import Update
from adarank.merging.core_space import CoreSpace, core_space
from adarank.merging.methods.spectra import compact_svd, component_count
from adarank.merging.methods.tsv_m import decorrelated
from adarank.merging.task_vectors import MATRICES, Vector, all_factored, stacked

Origin = Literal["task_arithmetic", "cart", "tsv_m"]


@dataclass(frozen=True)
class Components:
    """One weight as origin + sum_i c_i left_i right_i.

    Attributes:
        origin: What is added to the base whatever the coefficients: CART's mean; None for nothing.
        left: Shape (rows, K): the left singular vectors.
        right: Shape (K, columns): the right singular vectors times sigma.
        tasks: Shape (K,): the index of the member that each component is from.
        active: Shape (K,): whether its mask is on at the start.
    """

    origin: Vector | None
    left: Tensor
    right: Tensor
    tasks: Tensor
    active: Tensor

    def merged(self, coefficients: Tensor) -> Vector:
        """What to add to the base for these coefficients; factors where the origin is none or is.

        Components of coefficient 0 are left out.
        """
        on = coefficients != 0
        update = Update(self.right[on], self.left[:, on] * coefficients[on])
        if isinstance(self.origin, Tensor):
            return self.origin + update.b @ update.a
        return update if self.origin is None else join([self.origin, update])


@dataclass(frozen=True)
class Plain:
    """A tensor that is no matrix, or is not decomposed: the members' vectors and their lambdas.

    Attributes:
        vectors: Shape (n_tasks, *weight).
        origin: CART's mean, already taken from the vectors; None for nothing.
    """

    vectors: Tensor
    origin: Tensor | None = None

    def merged(self, lambdas: Tensor) -> Tensor:
        """What to add to the base: origin + sum_t lambda_t tau_t."""
        total = torch.tensordot(lambdas, self.vectors, 1)
        return total if self.origin is None else self.origin + total


def components(
    vectors: Sequence[Vector | None], origin: Origin, ratio: float
) -> Components | Plain:
    """Decompose the members' task vectors of one weight.

    Args:
        vectors: One a task; None for a member that does not change the weight.
        origin: `task_arithmetic`: the components of tau_t. `cart`: those of tau_t - avg, added to
            avg. `tsv_m`: TSV-M's decorrelated components, min(d)/T of each task.
        ratio: Share of min(d) whose masks are on at the start, of each task, the largest first.

    Returns:
        Components in float32, by task and descending sigma; Plain for tensors that are no matrices.
    """
    # Dense matrices are their own cores, in the identity's basis.
    space = core_space(vectors) if all_factored(vectors) else None
    cores = space.cores if space else stacked(vectors)
    if cores.ndim != MATRICES:
        return _plain(cores, origin)
    size = space.size if space else min(cores.shape[1:])
    mean = cores.mean(dim=0) if origin == "cart" else torch.zeros_like(cores[0])
    if origin == "tsv_m":
        u, sigma, vh, tasks = decorrelated(cores, size)
    else:
        parts = [compact_svd(core - mean) for core in cores]
        u, vh = torch.cat([u for u, _, _ in parts], dim=1), torch.cat([vh for _, _, vh in parts])
        sigma = torch.cat([sigma for _, sigma, _ in parts])
        tasks = torch.cat([torch.full((len(s),), t) for t, (_, s, _) in enumerate(parts)])
    left, right = _lifted(space, u, sigma[:, None] * vh)
    active = _places(tasks) < component_count(ratio, size)
    base = _origin(space, mean) if origin == "cart" else None
    return Components(base, left.float(), right.float(), tasks, active)


def _plain(vectors: Tensor, origin: Origin) -> Plain:
    if origin != "cart":
        return Plain(vectors)
    mean = vectors.mean(dim=0)
    return Plain(vectors - mean, mean)


def _lifted(space: CoreSpace | None, u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    return (u, rows) if space is None else (space.left @ u, rows @ space.right)


def _origin(space: CoreSpace | None, mean: Tensor) -> Vector:
    if space is None:
        return mean.float()
    update = space.update(mean)
    return Update(update.a.float(), update.b.float())


def _places(tasks: Tensor) -> Tensor:
    """Each component's place within its task, 0 for the largest."""
    places = torch.zeros_like(tasks)
    for task in tasks.unique():
        own = tasks == task
        places[own] = torch.arange(int(own.sum()))
    return places
