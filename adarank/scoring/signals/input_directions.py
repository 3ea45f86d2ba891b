"""The inputs' leading directions: where a module's adapter begins along what it is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from adarank.models.modules import Module
from adarank.scoring.directions import directions_table
from adarank.scoring.scores import Scores
from adarank.scoring.signals.moments import real_inputs
from adarank.scoring.signals.objective import OWN, Batch, Objective
from adarank.scoring.signals.weights import not_finite

_SPARE = 8  # directions beyond those wanted, which make the wanted ones converge
_PASSES = 3  # over the batches; one suffices where all directions of a module are kept


@dataclass(frozen=True)
class _Sums:
    """Sums over tokens x of a module, in float64, against a basis Q of shape (d_in, n).

    Attributes:
        count: Number of tokens.
        total: Sum of x, shape (d_in,).
        square: Sum of x . x.
        products: Sum of x (x^T Q), shape (d_in, n).
    """

    count: int
    total: Tensor
    square: float
    products: Tensor

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.count + other.count,
            self.total + other.total,
            self.square + other.square,
            self.products + other.products,
        )

    def applied(self, basis: Tensor) -> Tensor:
        """Give the covariance times the basis, shape (d_in, n)."""
        mean = self.total / max(self.count, 1)
        return self.products / max(self.count, 1) - torch.outer(mean, mean @ basis)

    @property
    def variance(self) -> float:
        """The trace of the covariance."""
        mean = self.total / max(self.count, 1)
        return self.square / max(self.count, 1) - float(mean @ mean)


@torch.no_grad()
def input_directions(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective = OWN,
    *,
    components: int = 64,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Find the principal directions of each module's inputs over all real tokens.

    The leading eigenvectors of the inputs' covariance C, means taken off as in EVA (Paischer et
    al. 2024, arXiv 2410.07170), each with the part of the variance that it explains as its score.
    The start `inputs` begins A along them. Uses no label, except that an encoder-decoder needs
    the words that its decoder is given.

    C is never formed: block subspace iteration from a fixed random basis Q, Q <- qr(C Q) in each
    pass over the batches but the last, which gives the eigenvectors of Q^T C Q (Halko, Martinsson
    and Tropp 2011, arXiv 0909.4061). It holds components + 8 columns of float64 per module.

    Args:
        model: A transformers model, with or without a head; set to evaluation mode.
        batches: Train rows; `attention_mask` marks padding, which is left out.
        modules: Whose inputs are looked at.
        objective: Its loss is what runs the model.
        components: Most directions kept per module: the highest rank that can begin along them.
        advance: Called after each batch of the first pass, then for each module.

    Returns:
        A row per module and component, with its direction; see `directions_of`. The directions of
        a module whose inputs never vary are any, and their scores 0.

    Raises:
        RunError: An input is not finite.
    """
    model.eval()
    bases = [_first_basis(module.d_in, components) for module in modules]
    passes = 1 if all(basis.shape[0] == basis.shape[1] for basis in bases) else _PASSES
    for turn in range(passes - 1):
        after_batch = advance if turn == 0 else _nothing
        sums = _pass(model, batches, modules, objective, bases, after_batch)
        bases = [
            basis if one is None else torch.linalg.qr(one.applied(basis))[0]
            for one, basis in zip(sums, bases, strict=True)
        ]
    sums = _pass(model, batches, modules, objective, bases, advance if passes == 1 else _nothing)
    spectra: list[np.ndarray] = []
    directions: list[np.ndarray] = []
    for module, one, basis in zip(modules, sums, bases, strict=True):
        kept = min(components, module.d_in, module.d_out)
        ratios, vectors = _eigen(one, basis)
        spectra.append(ratios[:kept])
        directions.append(vectors[:kept])
        advance()
    table = directions_table(modules, spectra, directions)
    return Scores(table, "forward", passes * len(batches))


def _first_basis(d_in: int, components: int) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    width = min(d_in, components + _SPARE)
    gaussian = torch.randn(d_in, width, generator=draws, dtype=torch.float64)
    return torch.linalg.qr(gaussian)[0]


def _pass(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective,
    bases: Sequence[Tensor],
    advance: Callable[[], None],
) -> list[_Sums | None]:
    """Go over all batches once; None for a module that is never given anything."""
    found: list[_Sums | None] = [None] * len(modules)
    for batch in batches:
        for group, inputs in real_inputs(model, batch, modules, objective):
            tokens = inputs.double()
            if not bool(torch.isfinite(tokens).all()):
                raise not_finite("the input", modules[group[0]])
            for index in group:
                new = _sums(tokens, bases[index])
                before = found[index]
                found[index] = new if before is None else before + new
        advance()
    return found


def _sums(tokens: Tensor, basis: Tensor) -> _Sums:
    products = tokens.mT @ (tokens @ basis.to(tokens.device))
    square = float(tokens.square().sum())
    return _Sums(len(tokens), tokens.sum(dim=0).cpu(), square, products.cpu())


def _eigen(sums: _Sums | None, basis: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Give the parts of the variance, highest first, and their directions in the basis' span."""
    if sums is None or sums.variance <= 0:
        return np.zeros(basis.shape[1]), basis.mT.numpy()
    values, within = torch.linalg.eigh(basis.mT @ sums.applied(basis))
    ratios = values.flip(0).clamp(min=0) / sums.variance
    return ratios.numpy(), (basis @ within.flip(1)).mT.numpy()


def _nothing() -> None:
    pass
