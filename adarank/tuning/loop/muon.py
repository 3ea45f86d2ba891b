"""LoRA-Muon: a step of equal spectral norm in every adapted module."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from adarank.errors import input_error
from adarank.tuning.lora import ADAPTER, factors_of, layers_of

_FLOOR = 1e-4
"""Eigenvalues of a factor's Gram matrix below this part of the largest are raised to it: a column
of B that is nearly zero would otherwise let A move without bound."""


@dataclass(frozen=True)
class Pair:
    """The factors of one adapted module, whose weight is W + scale * B A.

    Attributes:
        a: Shape (rank, d_in).
        b: Shape (d_out, rank).
        scale: The factor before B A.
    """

    a: nn.Parameter
    b: nn.Parameter
    scale: float


class LoraMuon(AdamW):
    """Muon for the factors of LoRA, AdamW for all else that is trained.

    Cesista et al. 2026, arXiv 2606.12921. Muon (Jordan et al. 2024) moves a matrix along the polar
    factor of its momentum, msign(U S V^T) = U V^T, whose singular values are all 1. For factors,
    each is whitened by the other, so that the step is one of the product:

        dB = -rate / (2 scale) * msign(M_B R_A) R_A,  R_A = (A A^T)^(-1/2)
        dA = -rate / (2 scale) * R_B msign(R_B M_A),  R_B = (B^T B)^(-1/2)

    with M the mean of gradients of decay `momentum`. Then scale * dB A and scale * B dA have the
    spectral norm rate / 2 each, in every module and whatever the norms of A and B are. At rank 1
    both steps are normalised vectors. A stays where it is while B is zero. Weight decay w acts on
    the product: each factor is multiplied by c = sqrt(1 - rate w), and its step divided by it.

    The rate is thus a spectral norm, and no entry's step as AdamW's is: head and biases, which
    AdamW trains at the same rate, have a ratio of their own.

    Args:
        groups: AdamW's, of all that is trained; a factor's rate and decay are its group's.
        pairs: The factors; both of a pair are among the groups' parameters.
        momentum: The decay of the mean of gradients.
    """

    def __init__(self, groups: Any, pairs: Sequence[Pair], momentum: float = 0.95):
        super().__init__(groups)
        self._pairs, self._momentum = tuple(pairs), momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a step."""
        factors = [p for pair in self._pairs for p in (pair.a, pair.b)]
        gradients = [p.grad for p in factors]
        for p in factors:  # AdamW leaves alone what has no gradient
            p.grad = None
        loss = super().step(closure)
        for p, gradient in zip(factors, gradients, strict=True):
            p.grad = gradient

        group_of = {id(p): group for group in self.param_groups for p in group["params"]}
        for pair in self._pairs:
            whitened = {True: whitening(pair.a), False: whitening(pair.b.T)}
            for p, of_b in ((pair.b, True), (pair.a, False)):
                if p.grad is None:
                    continue
                group, r = group_of[id(p)], whitened[of_b]
                mean = self._mean(p).double()
                along = (msign((mean @ r).T).T @ r) if of_b else (r @ msign(r @ mean))
                rate = group["lr"]
                # A decay that would take all away takes nothing: B could not be divided by it.
                kept = sqrt(max(0.0, 1 - rate * group["weight_decay"])) or 1.0
                p.mul_(kept).add_(along.to(p.dtype), alpha=-rate / (2 * pair.scale * kept))
        return loss

    def _mean(self, p: nn.Parameter) -> Tensor:
        """Bring the mean of a factor's gradients up to date; its scale does not matter."""
        assert p.grad is not None
        state = self.state[p]
        if not state:  # with a count, as AdamW's state has one
            state["step"] = torch.zeros(())
            state["momentum_buffer"] = torch.zeros_like(p)
        state["step"] += 1
        return state["momentum_buffer"].lerp_(p.grad, 1 - self._momentum)


def msign(matrix: Tensor) -> Tensor:
    """Compute the polar factor of a matrix: all singular values that are not zero become 1.

    From the eigenvectors of the small Gram matrix in float64, so exact where Newton and Schulz's
    iteration is close.

    Args:
        matrix: Shape (rank, d), rank at most d.

    Returns:
        The same shape; zeros for zeros.

    Example:
        >>> msign(torch.tensor([[0.0, 3.0, 4.0]], dtype=torch.float64))
        tensor([[0.0000, 0.6000, 0.8000]], dtype=torch.float64)
    """
    matrix = matrix.double()
    values, vectors = torch.linalg.eigh(matrix @ matrix.T)
    # As NumPy's matrix_rank, for entries that were float32; squared, for a Gram matrix.
    least = values[-1] * (max(matrix.shape) * torch.finfo(torch.float32).eps) ** 2
    inverse = torch.where(values > least, values, torch.inf).rsqrt()
    return (vectors * inverse) @ (vectors.T @ matrix)


def whitening(rows: Tensor) -> Tensor:
    """Compute the inverse square root of a factor's Gram matrix.

    Args:
        rows: Shape (rank, d): A, or B transposed.

    Returns:
        Shape (rank, rank), float64; zeros for zeros. With it before them, rows are orthonormal
        where their singular values differ by less than a factor of a hundred.
    """
    rows = rows.detach().double()
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    most = values[-1]
    inverse = torch.where(most > 0, values.clamp(min=_FLOOR * most).rsqrt(), 0.0)
    return (vectors * inverse) @ vectors.T


def to_muon(optimizer: Optimizer, model: nn.Module) -> LoraMuon:
    """Make LoRA-Muon with an AdamW's groups; to be called before the first step.

    Raises:
        InputError: The model has no LoRA factors.
    """
    layers = layers_of(model) if isinstance(model, PeftModel) else {}
    if not layers:
        raise input_error(
            "Muon steps along factors, and this model has none",
            where="finetune.optimizer",
            got="muon",
            expected="a model with LoRA adapters",
            remedy="finetune.optimizer: adamw",
        )
    pairs: list[Pair] = []
    for layer in layers.values():
        a, b = factors_of(layer)
        assert isinstance(a, nn.Parameter) and isinstance(b, nn.Parameter)
        pairs.append(Pair(a, b, float(layer.scaling[ADAPTER])))
    return LoraMuon(optimizer.param_groups, pairs)
