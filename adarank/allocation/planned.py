"""What a plan decides for one module."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlannedModule:
    """The rank and alpha of one module.

    Attributes:
        name: Full dotted name in the base model (no task head's prefix).
        block: Its depth, 0 nearest the input.
        kind: What it is in its block.
        rank: LoRA rank; 0 means no adapter.
        alpha: LoRA alpha.
        parameters: Trainable parameters that the rank costs.
    """

    name: str
    block: int
    kind: str
    rank: int
    alpha: float
    parameters: int
