"""Which totals can be spent at all: bounded subset sums, a bit for every total."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def most_reachable(costs: Integers, lower: Integers, upper: Integers, target: int, gap: int) -> int:
    """Find the largest total that some ranks within bounds cost, not above a target.

    Counts from the nearer end, so that few bits are needed: totals above the least, or
    what is short of the most.

    Args:
        costs: Cost of a rank, `(n_modules,)`.
        lower: Least rank, `(n_modules,)`.
        upper: Greatest rank, `(n_modules,)`.
        target: Between what the bounds cost.
        gap: The total `target - gap` is known to be reachable.

    Returns:
        That total.
    """
    room = {int(c): int((upper - lower)[costs == c].sum()) for c in np.unique(costs)}
    above, below = target - int(costs @ lower), int(costs @ upper) - target
    if above <= below:
        return int(costs @ lower) + _totals(room, above).bit_length() - 1
    short = _totals(room, below + gap) >> below
    return target - ((short & -short).bit_length() - 1)


def _totals(room: dict[int, int], most: int) -> int:
    """Set bit n for every total n <= most of up to room[cost] items of each cost."""
    whole = (1 << (most + 1)) - 1
    reached = 1
    for cost, count in room.items():
        for batch in _binary_batches(min(count, most // cost)):
            reached |= (reached << (batch * cost)) & whole
    return reached


def _binary_batches(count: int) -> list[int]:
    """Split a count so that the batches' subset sums are 0, 1, ..., count."""
    batches: list[int] = []
    while count > 0:
        batches.append(min(2 ** len(batches), count))
        count -= batches[-1]
    return batches
