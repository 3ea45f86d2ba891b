"""Rules of thumb for ranks, from a module's place alone, as in adaptive-lora-placement.

Base rank 16, least 4, over L blocks numbered i from the input. Its code rounds down to whole
ranks, which the `literal_` form of a strategy does; here they are weights.
"""

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.strategies.places import feed_forward
from adarank.allocation.strategies.question import Question

Weights = NDArray[np.float64]

BASE = 16
LEAST = 4


def linear_decay(question: Question) -> Weights:
    """Fall from 16 at the first block to 4 at the last: max(4, 16 - 12 i / (L - 1))."""
    return np.maximum(LEAST, BASE - (BASE - LEAST) * _depth(question))


def attention_heavy(question: Question) -> Weights:
    """Assign 8 to feed-forward modules and 16 to all others."""
    return np.where(feed_forward(question), max(LEAST, BASE // 2), float(BASE))


def empirical(question: Question) -> Weights:
    """Weigh by thirds of the depth: 0.6 * 16 before 30 %, 1.2 * 16 before 70 %, then 16."""
    depth = _depth(question)
    return BASE * np.select([depth < 0.3, depth < 0.7], [0.6, 1.2], 1.0)


def _depth(question: Question) -> Weights:
    """Relative depth, 0 at the first block and 1 at the last, `(n_modules,)`."""
    return question.blocks / max(question.n_blocks - 1, 1)
