"""Ranks by rule of thumb, from a module's place alone: what adaptive-lora-placement proposes.

Base rank 16, least 4, over L blocks numbered i from the input. Its code rounds down to whole
ranks, which the `literal_` form of a strategy does; here they are weights.
"""

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.strategies.question import Question
from adarank.models.kinds import FEED_FORWARD

Weights = NDArray[np.float64]

BASE = 16
LEAST = 4


def linear_decay(question: Question) -> Weights:
    """Fall from 16 at the first block to 4 at the last: max(4, 16 - 12 i / (L - 1))."""
    return np.maximum(LEAST, BASE - (BASE - LEAST) * _depth(question))


def attention_heavy(question: Question) -> Weights:
    """Give feed-forward modules half of what all others get: 8 and 16."""
    kinds = question.modules["kind"].str.removeprefix("cross_")
    feed_forward = kinds.isin(set(FEED_FORWARD.values())).to_numpy()
    return np.where(feed_forward, max(LEAST, BASE // 2), float(BASE))


def empirical(question: Question) -> Weights:
    """Weigh by thirds of the depth: 0.6 * 16 before 30 %, 1.2 * 16 before 70 %, then 16."""
    depth = _depth(question)
    return BASE * np.select([depth < 0.3, depth < 0.7], [0.6, 1.2], 1.0)


def _depth(question: Question) -> Weights:
    """Place of every module, from 0 at the first block to 1 at the last, `(n_modules,)`."""
    return question.blocks / max(question.n_blocks - 1, 1)
