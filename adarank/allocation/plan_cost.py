"""What a plan costs in the unit of its budget."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["parameters", "training_flops", "memory"]


@dataclass(frozen=True)
class PlanCost:
    """What a plan may cost, and what it does.

    Attributes:
        unit: `training_flops`: operations of a training step, both passes. `memory`: bytes of
            the activations kept for its backward pass, of the adapters, their gradients and
            AdamW's moments. Frozen weights, which all plans share, are in neither.
        budget: What uniform ranks of the plan's budget cost.
        spent: What the plan costs, a number for each draw of its ranks.
    """

    unit: Literal["training_flops", "memory"]
    budget: float
    spent: tuple[float, ...]
