"""Plans that open few blocks: a price for every block in which anything is adapted.

Ranks proportional to weights s maximise sum_m c_m sqrt(s_m r_m) at their cost sum_m c_m r_m. Within
a set S of blocks, that sum's maximum is proportional to the root of the share of the budget that
the strategy would spend in S without a price. So the value of S is

    value(S) = sqrt(share(S)),

1 for all blocks, and the blocks opened are those for which value(S) less their price is highest.
Their weights stay as they were, all others become 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.strategies.question import Question

Floats = NDArray[np.float64]
PricedBy = Literal["blocks", "training_flops"]


@dataclass(frozen=True)
class BlockPrice:
    """What opening blocks costs, in parts of the value of all blocks.

    Attributes:
        per_block: Of one block, on average over all of them.
        by: `blocks`: every block costs the same. `training_flops`: a set of blocks costs in
            proportion to the operations that it adds to a training step. Most of these are the
            way back to the first adapted block, so blocks are opened from the last one on.
    """

    per_block: float = 0.1
    by: PricedBy = "blocks"


def few_blocks(
    weights: Floats,
    question: Question,
    price: float,
    flops: Callable[[NDArray[np.bool_]], float] | None = None,
) -> Floats:
    """Set the weights of blocks to 0 that are not worth their price.

    Args:
        weights: Of a strategy, `(n_modules,)`.
        question: What it was asked.
        price: Of one block, on average over all of them.
        flops: Operations of a training step in which the marked modules are adapted, in
            proportion to which blocks cost; None for the same price each.

    Returns:
        Weights, `(n_modules,)`; of equally good sets of blocks, the smallest and latest one's.

    Example:
        Of blocks with shares .5, .3 and .2 of the budget, two are worth a price of .15 each:
        sqrt(.5) - .15 = .557, sqrt(.8) - .3 = .594, 1 - .45 = .55.
    """
    blocks, spent = question.blocks, weights * question.costs
    present = np.unique(blocks)
    shares = np.array([spent[blocks == block].sum() for block in present]) / spent.sum()
    if flops is None:
        order = np.lexsort((-present, -shares))  # the highest share first, of equals the latest
        prices = price * np.arange(1, len(present) + 1)
    else:
        # Most of it is the way back to the first block opened, so later blocks come first.
        order = np.arange(len(present))[::-1]
        opened = [np.isin(blocks, present[order[: n + 1]]) for n in range(len(present))]
        least = flops(np.zeros(len(blocks), dtype=np.bool_))
        added = np.array([flops(one & (weights > 0)) for one in opened]) - least
        prices = price * len(present) * added / max(added[-1], 1e-300)
    values = np.sqrt(np.cumsum(shares[order])) - prices
    n_opened = int(np.argmax(values > values.max() - 1e-12)) + 1
    return np.where(np.isin(blocks, present[order[:n_opened]]), weights, 0.0)
