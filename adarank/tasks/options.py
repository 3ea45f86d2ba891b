"""How a task is learned and measured, as params.yaml says it; needs no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Options:
    """How a task is learned and measured; each task reads its own.

    Attributes:
        hidden: classification, regression: width of a GELU layer before the last one; None for
            none (768 in Dong 2024's code, arXiv 2408.09015).
        loss: regression: mean squared or mean absolute error.
        loss_on: causal_lm: all tokens, or the response's only.
        packing: causal_lm: whether several rows share a sequence.
        max_new_tokens: seq2seq: tokens written at most.
        positive: seq2seq: the label whose own F1 is measured; None for the last.
    """

    hidden: int | None = None
    loss: Literal["mse", "mae"] = "mse"
    loss_on: Literal["all", "response"] = "all"
    packing: bool = False
    max_new_tokens: int = 16
    positive: str | None = None
