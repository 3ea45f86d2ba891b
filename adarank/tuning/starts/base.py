"""What a start is: the first rows of A. B begins at zero, so the base model stays as it is."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from torch import Generator, Tensor

ROW_NORM = 1 / sqrt(3)
"""The norm of every row: the root mean square of that of Kaiming's.

PEFT draws A's entries uniformly within 1 / sqrt(d_in), of variance 1 / (3 d_in), so the expected
squared norm of a row is d_in / (3 d_in) = 1 / 3. With equal norms, a learning rate means the same
whatever the start.
"""


@dataclass(frozen=True)
class Given:
    """What the rows of one module's A are made of.

    Attributes:
        rank: How many rows.
        d_in: The width of the module's input.
        draws: The module's own random generator, of the run's seed.
        directions: Orthonormal rows, the best first, shape (at least rank, d_in); None for a
            start that is drawn.
    """

    rank: int
    d_in: int
    draws: Generator
    directions: Tensor | None = None


Rows = Callable[[Given], Tensor]
"""Makes the rows, float32, shape (rank, d_in)."""
