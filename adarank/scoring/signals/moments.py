"""Second moments of the inputs of layers, gathered once for layers that share their input."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adarank.models.modules import Module
from adarank.models.terms import IGNORED, Batch
from adarank.scoring.signals.objective import Objective
from adarank.scoring.signals.weights import layers_of, not_finite


@dataclass(frozen=True)
class Moments:
    """Sums over tokens x, in float64, that add up over batches.

    Attributes:
        count: Number of tokens.
        total: Sum of x, shape (d_in,).
        squares: Sum of |x|^2, a scalar.
        products: Sum of x x^T, shape (d_in, d_in); of x x^T B where there is a basis B, shape
            (d_in, directions).
        basis: B, orthonormal, shape (d_in, directions); None for all directions.
    """

    count: int
    total: Tensor
    squares: Tensor
    products: Tensor
    basis: Tensor | None = None

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            self.products + other.products,
            self.basis,
        )

    def whole(self) -> float:
        """Compute the sum of all variances."""
        mean = self.total / max(self.count, 1)
        return max(float(self.squares / max(self.count, 1) - mean.square().sum()), 0.0)

    def variances(self) -> np.ndarray:
        """Compute the variances along the principal directions, highest first.

        Returns:
            Shape (d_in,), exactly; with a basis shape (directions,), those of the Nystrom
            approximation C B (B^T C B)^+ B^T C of the covariance C (Halko, Martinsson & Tropp
            2011, arXiv 0909.4061, section 5.5), which are never too large.
        """
        products = self._centred()
        if self.basis is not None:
            inner, vectors = torch.linalg.eigh(self.basis.mT @ products)
            # Directions of no more variance than rounding leaves are none.
            least = _NOTHING * max(float(inner.max()), float(self.squares) / max(self.count, 1))
            root = products @ (vectors * inner.clamp(min=least).rsqrt() * (inner > least))
            products = root.mT @ root
        return torch.linalg.eigvalsh(products).flip(0).clamp(min=0).cpu().numpy()

    def directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Compute the parts of the variance along the principal directions, highest first.

        With a basis B, those within its span: the eigenvectors of B^T C B (Rayleigh and Ritz).

        Returns:
            The parts, shape (d_in or directions,), and unit vectors as rows, of d_in numbers each.
            Of inputs that never vary the parts are 0, and the vectors any.
        """
        products, whole = self._centred(), self.whole()
        inner = products if self.basis is None else self.basis.mT @ products
        values, within = torch.linalg.eigh(inner)
        vectors = within if self.basis is None else self.basis @ within
        parts = values.flip(0).clamp(min=0) / whole if whole > 0 else torch.zeros_like(values)
        return parts.cpu().numpy(), vectors.flip(1).mT.cpu().numpy()

    def next_basis(self) -> Tensor:
        """Find the basis of the next power iteration."""
        return torch.linalg.qr(self._centred()).Q

    def _centred(self) -> Tensor:
        mean = self.total / max(self.count, 1)
        other = mean if self.basis is None else self.basis.mT @ mean
        return self.products / max(self.count, 1) - torch.outer(mean, other)


# Layers by index, and the moments of the input that they share.
Shared = dict[tuple[int, ...], Moments]
_NOTHING = 1e-13  # of the largest variance: below it is rounding


@torch.no_grad()
def gather_moments(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective,
    *,
    bases: Sequence[Tensor | None] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Shared:
    """Gather the moments of the modules' inputs at the batches' real tokens, padding left out.

    Args:
        model: A transformers model; set to evaluation mode.
        batches: Its inputs; `attention_mask` marks padding.
        modules: Whose inputs are looked at.
        objective: Its loss is what runs the model.
        bases: For each module its basis, where not all directions are gathered.
        advance: Called after each batch.

    Returns:
        By the indices of the modules that are given the very same tensors (query, key and value
        of a block) their moments.

    Raises:
        RunError: An input is not finite.
    """
    model.eval()
    bases = bases or [None] * len(modules)
    found: Shared = {}
    for batch in batches:
        for group, tokens in real_inputs(model, batch, modules, objective, bases):
            new = moments_of(tokens.double(), bases[group[0]])
            if not bool(torch.isfinite(new.products).all()):
                raise not_finite("the input", modules[group[0]])
            found[group] = found[group] + new if group in found else new
        advance()
    return found


def real_inputs(
    model: nn.Module,
    batch: Batch,
    modules: Sequence[Module],
    objective: Objective,
    bases: Sequence[Tensor | None] | None = None,
) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Yield the modules' inputs at a batch's real tokens, shape (tokens, d_in).

    Each comes once, with the indices of the modules that are given the very same tensors, and
    have the same basis where `bases` are given.
    """
    encoder = _encoder_layers(model)
    inputs = _inputs(model, batch, modules, objective)
    for group in _same_inputs(inputs, bases or [None] * len(modules)):
        mask = _mask(model, batch, modules[group[0]], encoder)
        yield group, torch.cat([_real(one, mask) for one in inputs[group[0]]])


def _inputs(
    model: nn.Module, batch: Batch, modules: Sequence[Module], objective: Objective
) -> list[list[Tensor]]:
    inputs: list[list[Tensor]] = [[] for _ in modules]
    with ExitStack() as hooks:
        for kept, module in zip(inputs, modules, strict=True):
            for layer in layers_of(model, module):

                def hook(_layer: nn.Module, given: Any, into: list[Tensor] = kept) -> None:
                    into.append(given[0])

                hooks.callback(layer.register_forward_pre_hook(hook).remove)
        objective.loss(model, batch)
    return inputs


def _same_inputs(
    inputs: list[list[Tensor]], bases: Sequence[Tensor | None]
) -> list[tuple[int, ...]]:
    # All inputs are alive, so an identity is one tensor's alone.
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, of_module in enumerate(inputs):
        if of_module:
            groups.setdefault((id(bases[index]), *map(id, of_module)), []).append(index)
    return [tuple(group) for group in groups.values()]


def moments_of(tokens: Tensor, basis: Tensor | None) -> Moments:
    """Compute the moments of tokens, shape (tokens, d_in), on the device that they are on."""
    basis = None if basis is None else basis.to(tokens.device)
    seen = tokens if basis is None else tokens @ basis
    return Moments(len(tokens), tokens.sum(dim=0), tokens.square().sum(), tokens.mT @ seen, basis)


def _real(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return the real tokens, shape (tokens, features), of what came with or without rows."""
    flat = values.reshape(-1, values.shape[-1])
    # A layer may be given something else than the batch's tokens: relative positions, say.
    return flat if mask is None or mask.numel() != len(flat) else flat[mask.flatten().bool()]


def _encoder_layers(model: nn.Module) -> set[int]:
    config: Any = getattr(model, "config", None)
    if not getattr(config, "is_encoder_decoder", False):
        return set()
    whole: Any = model
    return {id(layer) for layer in whole.get_encoder().modules()}


def _mask(model: nn.Module, batch: Batch, module: Module, encoder: set[int]) -> Tensor | None:
    layer = layers_of(model, module)[0]
    reads_encoder = module.kind in ("cross_key", "cross_value", "cross_kv")
    if not encoder or id(layer) in encoder or reads_encoder:
        return batch.get("attention_mask")
    labels = batch.get("labels")
    if labels is not None and labels.dim() == 2 and "decoder_input_ids" not in batch:
        # The decoder's inputs are the labels, moved on by the start token.
        return labels != IGNORED
    return batch.get("decoder_attention_mask", batch.get("attention_mask"))
