"""Squared gradient norms of single rows, from one backward of their batch where that can be.

A linear layer's weight gradient for one row is sum_t b_t a_t^T, a_t its inputs and b_t the
gradients of its outputs at the row's tokens t. Its squared norm is
sum_(t, t') (a_t . a_t') (b_t . b_t'), without the gradient itself ever being made (Goodfellow
2015, arXiv 1510.01799; over tokens, Li et al. 2022, arXiv 2110.05679).
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adarank.models.modules import Module
from adarank.scoring.signals.gradients import finite_loss
from adarank.scoring.signals.objective import Batch, Objective, rows_of
from adarank.scoring.signals.weights import layers_of, weights_of

TOGETHER = "backward, rows separated"
ONE_BY_ONE = "backward of each row"
_CLOSE = 1e-3


class _InseparableError(Exception):
    """A layer's inputs do not come row by row."""


class RowNorms:
    """Computes the squared gradient norm of every row of a batch, for every module.

    Rows are separated within one backward; on the first batch, and on any with more rows than
    those before, that is compared with a backward of its first and of its last row alone. Where
    the two differ (a layer applied to what all rows share, a weight used outside of its layer),
    each row has its own backward from then on.

    Attributes:
        engine: TOGETHER or ONE_BY_ONE.
        forwards: Forwards with a backward so far, those of the proof included.
    """

    def __init__(self, model: nn.Module, modules: Sequence[Module], objective: Objective) -> None:
        self.engine, self.forwards = TOGETHER, 0
        self._model, self._modules, self._objective = model, modules, objective
        self._weights = weights_of(model, modules)
        self._proven = 0  # rows of the largest batch held against single rows

    def __call__(self, batch: Batch) -> np.ndarray:
        """Return the squared norms for the sum of each row's terms, shape (n_modules, rows)."""
        if self.engine == TOGETHER:
            try:
                return self._proved(batch, self._together(batch))
            except _InseparableError:
                self.engine = ONE_BY_ONE
        return self._one_by_one(batch, range(rows_of(batch)))

    def _proved(self, batch: Batch, found: np.ndarray) -> np.ndarray:
        if rows_of(batch) > self._proven:
            rows = sorted({0, rows_of(batch) - 1})
            plain = self._one_by_one(batch, rows)
            # What is not finite proves nothing; the caller refuses it.
            if np.isfinite(plain).all() and not _close(found[:, rows], plain):
                raise _InseparableError
            self._proven = rows_of(batch)
        return found

    def _together(self, batch: Batch) -> np.ndarray:
        seen: list[tuple[int, Tensor, Tensor]] = []
        with ExitStack() as hooks:
            for index, module in enumerate(self._modules):
                for layer in layers_of(self._model, module):
                    hooks.callback(layer.register_forward_hook(_keep(seen, index)).remove)
            loss = self._loss(batch)
        gradients = _gradients(loss, [output for *_, output in seen])
        parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in self._modules]
        for (index, inputs, _), gradient in zip(seen, gradients, strict=True):
            if gradient is not None:
                rows = rows_of(batch)
                parts[index].append((_by_row(inputs, rows), _by_row(gradient, rows)))
        return np.stack([_added_up(part, rows_of(batch)) for part in parts])

    def _one_by_one(self, batch: Batch, rows: Sequence[int]) -> np.ndarray:
        squares = np.zeros((len(self._modules), len(rows)))
        for column, row in enumerate(rows):
            gradients = _gradients(self._loss(_only(batch, row)), self._weights)
            squares[:, column] = [
                0.0 if g is None else float(g.square().sum(dtype=torch.float64)) for g in gradients
            ]
        return squares

    def _loss(self, batch: Batch) -> Tensor | None:
        """Add up the batch's terms, so that a row's gradient does not depend on the others."""
        terms = self._objective.terms(self._model, batch)
        if terms == 0:
            return None
        self.forwards += 1
        return terms * finite_loss(self._model, batch, self._modules, self._objective)


def _keep(
    seen: list[tuple[int, Tensor, Tensor]], index: int
) -> Callable[[nn.Module, Any, Tensor], None]:
    def hook(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((index, inputs[0].detach(), output))

    return hook


def _gradients(loss: Tensor | None, of: Sequence[Tensor]) -> Sequence[Tensor | None]:
    # A loss without a graph is one that no module reaches.
    if loss is None or not loss.requires_grad:
        return [None] * len(of)
    return torch.autograd.grad(loss, list(of), allow_unused=True)


def _by_row(values: Tensor, rows: int) -> Tensor:
    """Shape (rows, tokens, features), also of what a layer was given with rows and tokens flat."""
    if len(values) % rows:
        raise _InseparableError
    return values.reshape(rows, -1, values.shape[-1])


def _added_up(parts: list[tuple[Tensor, Tensor]], rows: int) -> np.ndarray:
    if not parts:
        return np.zeros(rows)
    # A layer applied several times adds up over its applications as it does over tokens.
    inputs, gradients = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    return _squared_norms(inputs, gradients).cpu().numpy()


def _squared_norms(inputs: Tensor, gradients: Tensor) -> Tensor:
    (_, tokens, d_in), d_out = inputs.shape, gradients.shape[-1]
    if tokens * (d_in + d_out) <= d_in * d_out:
        products = (inputs @ inputs.mT) * (gradients @ gradients.mT)
        return products.sum(dim=(1, 2), dtype=torch.float64).clamp(min=0)
    # So many tokens that the gradients themselves are the lesser work; one at a time in memory.
    whole = (b.mT @ a for a, b in zip(inputs, gradients, strict=True))
    return torch.stack([gradient.square().sum(dtype=torch.float64) for gradient in whole])


def _close(found: np.ndarray, plain: np.ndarray) -> bool:
    return np.allclose(found, plain, rtol=_CLOSE, atol=1e-6 * plain.max())


def _only(batch: Batch, row: int) -> dict[str, Tensor]:
    rows = rows_of(batch)
    return {k: v[row : row + 1] if len(v) == rows else v for k, v in batch.items()}
