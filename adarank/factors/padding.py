"""Updates of different ranks at one rank: zero rows and columns, and no scale left."""

import torch

from adarank.errors import input_error
from adarank.factors.svd import Update


def pad(update: Update, rank: int) -> Update:
    """Pad an update to a larger rank without changing it.

    Args:
        update: Any update.
        rank: The rank wanted, at least its own.

    Returns:
        The same s B A at this rank and scale 1: zero rows below A, zero columns beside B, and the
        scale multiplied into B.

    Raises:
        InputError: A rank below the update's own, which padding cannot reach.

    Example:
        >>> import torch
        >>> pad(Update(torch.ones(1, 2), torch.ones(2, 1), scale=0.5), 3).b.tolist()
        [[0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]
    """
    missing = rank - update.rank
    if missing < 0:
        raise input_error(
            "padding cannot lower a rank",
            got=f"rank {update.rank}",
            expected=f"at most {rank}",
            remedy="truncate it first",
        )
    rows = update.a.new_zeros(missing, update.a.shape[1])
    columns = update.b.new_zeros(update.b.shape[0], missing)
    scaled = update.scale * update.b
    return Update(torch.cat([update.a, rows]), torch.cat([scaled, columns], dim=1))
