"""Several updates of one weight as one: their sum, exactly, by concatenation."""

from collections.abc import Sequence

import torch

from adarank.errors import input_error
from adarank.factors.svd import Update, decompose


def join(updates: Sequence[Update]) -> Update:
    """Make one update that equals the sum of several: A's rows and B's columns side by side.

    sum_i s_i B_i A_i = [s_1 B_1, s_2 B_2 ...] [A_1; A_2 ...]. The rank is the sum of the ranks;
    truncation afterwards finds what the updates share.

    Args:
        updates: At least one, all of one weight.

    Returns:
        An update of scale 1 whose B carries the scales.

    Raises:
        InputError: No update, or updates of different weights.

    Example:
        >>> import torch
        >>> one = Update(torch.ones(1, 3), torch.ones(2, 1), scale=2.0)
        >>> join([one, one]).dense().tolist()
        [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]
    """
    shapes = {(update.b.shape[0], update.a.shape[1]) for update in updates}
    if len(shapes) != 1:
        raise input_error(
            "only updates of one weight can be joined",
            got=", ".join(f"{d_out} x {d_in}" for d_out, d_in in sorted(shapes)) or "no update",
            expected="at least one update, all of the same d_out x d_in",
        )
    rows = torch.cat([update.a for update in updates])
    columns = torch.cat([update.scale * update.b for update in updates], dim=1)
    return Update(rows, columns)


def distance(first: Update, second: Update) -> float:
    """Compute the Frobenius norm of the difference of two updates, without forming either.

    Both in float64: the difference of two nearly equal updates would drown in float32's rounding.
    """
    one, other = first.double(), second.double()
    difference = join([one, Update(other.a, other.b, -other.scale)])
    return float(torch.linalg.vector_norm(decompose(difference).sigma))
