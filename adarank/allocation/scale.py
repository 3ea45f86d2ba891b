"""Scale policies: the alpha that goes with a rank."""

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Literal, get_args

from adarank.errors import input_error

Policy = Literal["ratio", "rslora", "constant"]


@dataclass(frozen=True)
class Scale:
    """Which factor goes before B A x at a rank.

    The policy also decides how rank and learning rate interact. B starts at 0, and Adam's first
    step moves each of its entries by the learning rate. To first order, the fall of a module's
    loss in that step is then proportional to factor * rank: to rank with `ratio`, to sqrt(rank)
    with `rslora`, and equal for all ranks with `constant`. So under `ratio` more rank in a module
    is also a higher learning rate there, for a strategy and for its controls alike.

    Attributes:
        policy: `ratio`: alpha = value * rank, so the factor alpha / rank is `value`
            for every module, whatever its rank. `rslora`: alpha = value, factor
            alpha / sqrt(rank) (Kalajdzievski 2023, arXiv 2312.03732). `constant`: alpha =
            value, factor alpha / rank, as LoRA with one alpha for all has it.
        value: A positive number; its meaning is the policy's.
    """

    policy: Policy = "ratio"
    value: float = 1.0

    def __post_init__(self) -> None:
        if self.policy not in get_args(Policy):
            policies = ", ".join(get_args(Policy))
            raise input_error(
                "no such scale policy",
                where="scale.policy",
                got=self.policy,
                expected=policies,
                remedy="ratio gives every module the same factor",
            )
        if not (isfinite(self.value) and self.value > 0):
            raise input_error(
                "no such scale",
                where="scale.value",
                got=self.value,
                expected="a positive number",
                remedy="1.0 is usual for ratio",
            )

    def alpha(self, rank: int) -> float:
        """The lora_alpha of a module of this rank; 0 where there is no adapter."""
        if rank == 0:
            return 0.0
        return self.value * rank if self.policy == "ratio" else float(self.value)

    def factor(self, rank: int) -> float:
        """The factor before B A x at this rank (at least 1), as PEFT computes it from alpha."""
        return self.alpha(rank) / (sqrt(rank) if self.policy == "rslora" else rank)
