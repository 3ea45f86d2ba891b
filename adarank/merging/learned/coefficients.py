"""What is learned: a mask per component and a lambda per weight and task (arXiv 2503.22178).

c_i = lambda_(weight, task of i) 1[p_i > 1/2], p_i = sigmoid(m_i / 10). The forward pass uses the
hard mask; the gradient is that of p (the straight-through estimator of Bengio et al. 2013,
arXiv 1308.3432).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from adarank.merging.learned.components import Components, Plain

TEMPERATURE = 10.0
START = 0.1  # a mask's logit at the start: +START if on, -START if off


@dataclass(frozen=True)
class Coefficients:
    """All learned numbers, flat, and which of them belong to which weight.

    Attributes:
        parts: By weight name.
        n_tasks: Members.
    """

    parts: Mapping[str, Components | Plain]
    n_tasks: int

    @property
    def counts(self) -> list[int]:
        """Masked components of each weight."""
        return [len(p.tasks) if isinstance(p, Components) else 0 for p in self.parts.values()]

    def start(self, prior: float) -> tuple[Tensor, Tensor]:
        """The logits, shape (n_components,), and lambdas, (n_weights, n_tasks), at the start."""
        active = [p.active for p in self.parts.values() if isinstance(p, Components)]
        on = torch.cat(active) if active else torch.zeros(0, dtype=torch.bool)
        return torch.where(on, START, -START), torch.full((len(self.parts), self.n_tasks), prior)

    def by_weight(self, logits: Tensor, lambdas: Tensor) -> dict[str, Tensor]:
        """Each weight's coefficients: shape (K,) for components, (n_tasks,) for plain tensors."""
        masks = straight_through(logits).split(self.counts)
        return {
            name: row[part.tasks] * mask if isinstance(part, Components) else row
            for (name, part), mask, row in zip(self.parts.items(), masks, lambdas, strict=True)
        }


def straight_through(logits: Tensor) -> Tensor:
    """The hard mask 1[sigmoid(m / 10) > 1/2], with the gradient of sigmoid(m / 10)."""
    p = torch.sigmoid(logits / TEMPERATURE)
    return (p > 0.5).to(p.dtype) + (p - p.detach())
