"""Balanced factors: the same product, with the norm shared evenly between A and B."""

import torch

from adarank.errors import input_error
from adarank.factors.svd import Update


def balance(update: Update, scale: float = 1.0) -> Update:
    """Share each component's norm evenly: the i-th row of A gets the norm of B's i-th column.

    The product s B A stays as it is. Training on is then as fast in A as in B, and neither factor
    leaves the range of a 16-bit format first.

    Args:
        update: Any update; its own scale is folded into the factors.
        scale: The scale that the result carries, positive.

    Returns:
        Factors in float64. A component of norm 0 becomes zero in both.

    Raises:
        InputError: A scale that is not positive.
    """
    if not scale > 0:
        raise input_error("no such scale", got=scale, expected="a positive number")
    factors = update.double()
    rows = torch.linalg.vector_norm(factors.a, dim=1)
    columns = torch.linalg.vector_norm(factors.b, dim=0)
    share = (rows * columns * (abs(update.scale) / scale)).sqrt()
    sign = -1.0 if update.scale < 0 else 1.0
    to_rows = torch.where(rows > 0, share / rows, 0.0)
    to_columns = torch.where(columns > 0, share / columns, 0.0)
    return Update(to_rows[:, None] * factors.a, sign * to_columns * factors.b, scale)
