"""The result of a merge in memory."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from adarank.merging.learned.merge import Learned
from adarank.merging.loaded import add_to
from adarank.merging.parameters import Value
from adarank.merging.task_vectors import Vector


@dataclass(frozen=True)
class Merged:
    """What several members became.

    Attributes:
        method: The method's name.
        values: All its parameters.
        vectors: By weight name in the base: what to add to it; factors where the method keeps them.
        heads: By task: its head's tensors, as the member named them.
        excluded: Weights that a member may have changed and that were not merged: embeddings.
        learned: Masks, lambdas, the rank table and the objective's history; None of a closed form.
    """

    method: str
    values: Mapping[str, Value]
    vectors: Mapping[str, Vector]
    heads: Mapping[str, Mapping[str, Tensor]]
    excluded: tuple[str, ...]
    learned: Learned | None = None

    def add_to(self, model: nn.Module) -> None:
        """Add the merged vectors to a model of the base, in place; its head stays as it is."""
        add_to(model, self.vectors)
