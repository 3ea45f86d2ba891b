"""The state of a learning run between two steps, and its bytes: saved and restored exactly."""

import json
from dataclasses import dataclass

from safetensors.torch import load, save
from torch import Tensor


@dataclass(frozen=True)
class State:
    """Everything that the next step depends on.

    Attributes:
        step: Steps done.
        tensors: logits, lambdas, Adam's moments of both, and the best logits and lambdas so far.
        best: The lowest objective on the held-back rows so far.
        best_step: When it was reached.
        history: (step, objective on the held-back rows) of every check.
    """

    step: int
    tensors: dict[str, Tensor]
    best: float
    best_step: int
    history: tuple[tuple[int, float], ...]

    def to_bytes(self) -> bytes:
        """A safetensors file of the state; equal states give equal bytes."""
        record = {
            "step": self.step,
            "best": self.best,
            "best_step": self.best_step,
            "history": self.history,
        }
        return save(dict(self.tensors), metadata={"state": json.dumps(record)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "State":
        """Restore what `to_bytes` made."""
        size = int.from_bytes(data[:8], "little")
        record = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["state"])
        history = tuple((int(step), float(value)) for step, value in record.pop("history"))
        return cls(tensors=load(data), history=history, **record)
