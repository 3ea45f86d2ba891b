"""Strategies that adapt some modules alone, chosen by their place in the model.

What they leave out gets no adapter, so the same parameters buy higher ranks elsewhere. Fewer
adapted modules train faster, and below the first adapted block no backward pass is needed.
"""

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.strategies.question import Question
from adarank.errors import input_error
from adarank.models.kinds import FEED_FORWARD

Weights = NDArray[np.float64]

_LAST_BLOCKS = re.compile(r"last_([1-9][0-9]{0,5})_blocks")


def feed_forward(question: Question) -> NDArray[np.bool_]:
    """Mark the feed-forward modules, `(n_modules,)`."""
    kinds = question.modules["kind"].str.removeprefix("cross_")
    return kinds.isin(set(FEED_FORWARD.values())).to_numpy()


def mlp_only(question: Question) -> Weights:
    """Weigh feed-forward modules alike and all others 0.

    Raises:
        InputError: No feed-forward module was scored.
    """
    chosen = feed_forward(question)
    if not chosen.any():
        raise input_error(
            "no feed-forward module was scored",
            where="strategy mlp_only",
            got=", ".join(sorted(set(question.modules["kind"]))),
            expected=f"some of {', '.join(FEED_FORWARD.values())}",
            remedy="score all linear modules (score.modules), or use another strategy",
        )
    return chosen.astype(np.float64)


def last_blocks(k: int) -> Callable[[Question], Weights]:
    """Return the strategy that weighs the k blocks nearest the output alike and all others 0."""

    def weigh(question: Question) -> Weights:
        if k > question.n_blocks:
            raise input_error(
                "more blocks than the model has",
                where=f"strategy last_{k}_blocks",
                got=k,
                expected=f"at most {question.n_blocks}",
                remedy="use uniform, which adapts them all, or fewer blocks",
            )
        return (question.blocks >= question.n_blocks - k).astype(np.float64)

    return weigh


def blocks_named(name: str) -> int | None:
    """Read k from a name such as `last_3_blocks`; None for any other name.

    Example:
        >>> blocks_named("last_3_blocks"), blocks_named("last_0_blocks"), blocks_named("uniform")
        (3, None, None)
    """
    match = _LAST_BLOCKS.fullmatch(name)
    return int(match.group(1)) if match else None
