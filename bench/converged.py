"""A converged exact score, and from the same draws the variance of both estimators.

With h(X, Y) the distance between two draws' outputs, zeta2 = Var h(X, Y) and
zeta1 = Cov(h(X, Y), h(X, Z)), the mean over n / 2 disjoint pairs has the variance 2 zeta2 / n and
the mean over all pairs (4 (n - 2) zeta1 + 2 zeta2) / (n (n - 1)) (Hoeffding 1948). Both zetas are
estimated without bias from the matrix of distances among many draws, which is far steadier than
the spread of a few repeated runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from adarank.models.modules import Module, resolve
from adarank.scoring.engines.forwards import Engine
from adarank.scoring.engines.memory import draws_per_pass
from adarank.scoring.engines.proof import proven_engine
from adarank.scoring.estimators.distance import distances
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.noise import draw
from bench.subjects import Subject

# Draws of its own, so that nothing is compared with itself.
SEED = 1_000_003


@dataclass(frozen=True)
class Converged:
    """The score that more draws would no longer change much, and how draws scatter about it.

    Attributes:
        scores: Mean distance over all pairs of draws, shape (n_modules,).
        zeta1: Covariance of two distances that share a draw, shape (n_modules,).
        zeta2: Variance of a distance, shape (n_modules,).
    """

    scores: np.ndarray
    zeta1: np.ndarray
    zeta2: np.ndarray

    def disjoint_variance(self, trials: int) -> float:
        """Squared relative standard error of the paper's mean, averaged over modules."""
        return float(np.mean(self.zeta2 / trials / self.scores**2))

    def all_pairs_variance(self, trials: int) -> float:
        """Squared relative standard error of all pairs of 2 * trials draws, averaged likewise."""
        n = 2 * trials
        variance = (4 * (n - 2) * self.zeta1 + 2 * self.zeta2) / (n * (n - 1))
        return float(np.mean(variance / self.scores**2))


def converged(subject: Subject, trials: int) -> Converged:
    """Compare 2 * trials draws of every module, each with each."""
    settings = Exact()
    parts = [moments(matrix) for matrix in _matrices(subject, settings, 2 * trials)]
    return Converged(*np.array(parts).T)


def moments(pairwise: np.ndarray) -> tuple[float, float, float]:
    """Estimate the mean, zeta1 and zeta2 of a module's distances, each without bias.

    Args:
        pairwise: Shape (n, n), symmetric, zero diagonal; n at least 4.
    """
    n = len(pairwise)
    rows = pairwise.sum(axis=1)
    total, squares, row_squares = rows.sum(), (pairwise**2).sum(), (rows**2).sum()
    pairs = n * (n - 1)
    shared = (row_squares - squares) / (pairs * (n - 2))
    apart = (total**2 - 4 * row_squares + 2 * squares) / (pairs * (n - 2) * (n - 3))
    return total / pairs, shared - apart, squares / pairs - apart


def _matrices(subject: Subject, settings: Exact, n: int) -> Iterator[np.ndarray]:
    model, batches = subject.model, subject.batches
    _, make = proven_engine(
        model, batches[0], subject.modules, settings.output, settings.noise, SEED
    )
    engines = [make(batch) for batch in batches]
    step = draws_per_pass(model, batches, settings.output, None)
    for _, group in groupby(subject.modules, key=lambda module: module.block):
        members = list(group)
        for engine in engines:
            engine.enter(members)
        for module in members:
            yield _matrix(subject, settings, engines, module, range(n), step)


def _matrix(
    subject: Subject,
    settings: Exact,
    engines: Sequence[Engine],
    module: Module,
    indexes: range,
    step: int,
) -> np.ndarray:
    layer = subject.model.get_submodule(resolve(subject.model, module.name))
    outputs: list[list[torch.Tensor]] = [[] for _ in engines]
    for start in range(0, len(indexes), step):
        draws = [
            draw(layer, settings.noise, seed=SEED, name=module.name, index=index)
            for index in indexes[start : start + step]
        ]
        for parts, engine in zip(outputs, engines, strict=True):
            parts.append(engine.outputs(module, draws))
    values = torch.cat([torch.cat(parts) for parts in outputs], dim=1)
    return distances(values, values, "l1").div(values.shape[1]).cpu().numpy()
