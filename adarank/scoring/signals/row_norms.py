"""Squared gradient norms of single rows, from one backward of their batch where that can be.

See `token_gradients` for the norms without the gradients themselves. A module's are taken as soon
as its backward has been, so that no more than one module's gradients are held. The same holds for
the backwards of single rows, which make whole gradients.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from adarank.models.modules import Module
from adarank.models.terms import Batch, rows_of
from adarank.scoring.engines.token_gradients import (
    Parts,
    replaceable,
    squared_norms,
    token_gradients,
)
from adarank.scoring.signals.gradients import finite_loss
from adarank.scoring.signals.objective import Objective
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
        layers = [layer for module in modules for layer in layers_of(model, module)]
        self.engine = TOGETHER if all(map(replaceable, layers)) else ONE_BY_ONE
        self.forwards = 0
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
        squares, rows = np.zeros((len(self._modules), rows_of(batch))), rows_of(batch)

        def take(index: int, parts: Parts) -> None:
            squares[index] = _added_up(parts, rows)

        layers = {i: layers_of(self._model, module) for i, module in enumerate(self._modules)}
        with token_gradients(layers, take):
            loss = self._loss(batch)
            if loss is not None and loss.requires_grad:
                loss.backward()
        for weight in self._weights:
            weight.grad = None  # What there is of it, the proof has seen or will.
        return squares

    def _one_by_one(self, batch: Batch, rows: Sequence[int]) -> np.ndarray:
        squares = np.zeros((len(self._modules), len(rows)))

        def take(index: int, column: int) -> Callable[[Tensor], None]:
            def hook(weight: Tensor) -> None:
                gradient, weight.grad = weight.grad, None
                assert gradient is not None
                squares[index, column] = float(gradient.square().sum(dtype=torch.float64))

            return hook

        for column, row in enumerate(rows):
            hooks = [
                weight.register_post_accumulate_grad_hook(take(index, column))
                for index, weight in enumerate(self._weights)
            ]
            try:
                loss = self._loss(_only(batch, row))
                # A loss without a graph is one that no module reaches.
                if loss is not None and loss.requires_grad:
                    loss.backward()
            finally:
                for hook in hooks:
                    hook.remove()
        return squares

    def _loss(self, batch: Batch) -> Tensor | None:
        """Add up the batch's terms, so that a row's gradient does not depend on the others."""
        terms = self._objective.terms(self._model, batch)
        if terms == 0:
            return None
        self.forwards += 1
        return terms * finite_loss(self._model, batch, self._modules, self._objective)


def _by_row(values: Tensor, rows: int) -> Tensor:
    """Shape (rows, tokens, features), also of what a layer was given with rows and tokens flat."""
    if len(values) % rows:
        raise _InseparableError
    return values.reshape(rows, -1, values.shape[-1])


def _added_up(parts: Parts, rows: int) -> np.ndarray:
    # A layer applied several times adds up over its applications as it does over tokens.
    inputs = torch.cat([_by_row(inputs, rows) for inputs, _ in parts], dim=1)
    gradients = torch.cat([_by_row(gradient, rows) for _, gradient in parts], dim=1)
    return squared_norms(inputs, gradients).cpu().numpy()


def _close(found: np.ndarray, plain: np.ndarray) -> bool:
    return np.allclose(found, plain, rtol=_CLOSE, atol=1e-6 * plain.max())


def _only(batch: Batch, row: int) -> dict[str, Tensor]:
    rows = rows_of(batch)
    return {k: v[row : row + 1] if len(v) == rows else v for k, v in batch.items()}
