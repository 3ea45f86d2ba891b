"""Which linear layers of a transformer can be adapted."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Module:
    """One adaptable linear layer.

    Attributes:
        name: Full dotted name in the base model (AutoModel's class; no task head's prefix).
        block: Its depth, 0 nearest the input.
        kind: What it is in its block: query, key, value, dense, up, gate, down ...
        d_in: Input features.
        d_out: Output features.
    """

    name: str
    block: int
    kind: str
    d_in: int
    d_out: int

    @property
    def parameters_per_rank(self) -> int:
        """Trainable parameters that one unit of LoRA rank costs: d_in + d_out."""
        return self.d_in + self.d_out
