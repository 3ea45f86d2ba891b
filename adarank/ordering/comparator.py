"""A neural network that says which of two items comes first, symmetric by weight sharing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Floats = NDArray[np.float64]
Before = Callable[[int, int], bool]

# Up to this many items all pairs are compared in one array operation, which is cheaper than
# the Python calls for the n log2(n) pairs that a sort asks for.
_MATRIX_ITEMS = 256


class Comparator(nn.Module):
    """Compare two items: how strongly each of them should come before the other.

    With one hidden layer of pairs of dual units, u_i(x, y) = tanh(a_i x + b_i y + d_i) and
    u'_i(x, y) = u_i(y, x),

        N_>(x, y) = sigmoid(w u(x, y) + v u'(x, y) + c)
        N_<(x, y) = sigmoid(w u'(x, y) + v u(x, y) + c)

    so N_>(x, y) = N_<(y, x) for any weights (Rigutini, Papini, Maggini and Scarselli 2011, IEEE
    TNN 22(9); arXiv 2311.01864). Networks of this form approximate every function with that
    symmetry. Nothing makes the comparisons transitive: see `adarank.ordering.sorting`.

    Args:
        n_features: Numbers per item.
        hidden: Pairs of dual hidden units.
        seed: Decides the initial weights.

    Example:
        >>> import torch
        >>> comparator = Comparator(n_features=3, hidden=4)
        >>> x, y = torch.rand(2, 5, 3, dtype=torch.float64)
        >>> there, back = comparator(x, y), comparator(y, x)
        >>> bool(torch.allclose(there[:, 0], back[:, 1], rtol=0, atol=1e-15))
        True
    """

    def __init__(self, n_features: int, hidden: int = 20, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def uniform(*shape: int, fan_in: int) -> nn.Parameter:
            values = torch.rand(*shape, generator=generator, dtype=torch.float64)
            return nn.Parameter((2 * values - 1) / fan_in**0.5)

        self.first = uniform(n_features, hidden, fan_in=2 * n_features)
        self.second = uniform(n_features, hidden, fan_in=2 * n_features)
        self.hidden_bias = uniform(hidden, fan_in=2 * n_features)
        self.own = uniform(hidden, fan_in=2 * hidden)
        self.dual = uniform(hidden, fan_in=2 * hidden)
        self.bias = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Compare items of equal position.

        Args:
            x: Shape (n, n_features), float64.
            y: The same shape.

        Returns:
            N_> and N_<, shape (n, 2), each in (0, 1).
        """
        unit = torch.tanh(x @ self.first + y @ self.second + self.hidden_bias)
        twin = torch.tanh(y @ self.first + x @ self.second + self.hidden_bias)
        greater = unit @ self.own + twin @ self.dual + self.bias
        less = twin @ self.own + unit @ self.dual + self.bias
        return torch.sigmoid(torch.stack([greater, less], dim=-1))

    @torch.no_grad()
    def margins(self, items: Floats) -> Floats:
        """Compare every item with every other.

        Args:
            items: Shape (n, n_features).

        Returns:
            The logit of N_> minus the logit of N_<, shape (n, n): antisymmetric, positive where
            the row's item comes before the column's.
        """
        first, second, out = self._as_arrays(items)
        unit = np.tanh(first[:, None, :] + second[None, :, :]) @ out
        return unit - unit.T

    @torch.no_grad()
    def before(self, items: Floats) -> Before:
        """Return a function of two positions that says whether the first comes before.

        Args:
            items: Shape (n, n_features).

        Returns:
            N_>(items[i], items[j]) > N_<(items[i], items[j]); False both ways on a tie.
        """
        if len(items) <= _MATRIX_ITEMS:
            decided: list[list[bool]] = (self.margins(items) > 0).tolist()
            return lambda i, j: decided[i][j]
        first, second, out = self._as_arrays(items)

        def compare(i: int, j: int) -> bool:
            there, back = np.tanh(first[i] + second[j]), np.tanh(first[j] + second[i])
            return bool(there @ out > back @ out)

        return compare

    def _as_arrays(self, items: Floats) -> tuple[Floats, Floats, Floats]:
        # N_> > N_< if and only if (w - v) (u - u') > 0, and each half of a hidden unit's
        # argument depends on one item: it is computed once per item, not once per pair.
        values = torch.from_numpy(np.ascontiguousarray(items, dtype=np.float64))
        first = values @ self.first + self.hidden_bias
        second = values @ self.second
        return first.numpy(), second.numpy(), (self.own - self.dual).numpy()
