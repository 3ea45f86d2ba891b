"""Updates merged into a base model's weights for a while, and taken out again to the bit."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from adarank.factors.joining import join
from adarank.factors.svd import Update, decompose
from adarank.factors.truncation import truncate
from adarank.tuning.resizing import add_to_base, update_of


class Merged:
    """What was merged into the base weights of adapted layers.

    Args:
        layers: Adapted layers by name.
    """

    def __init__(self, layers: Mapping[str, Any]):
        self._layers = layers
        self._parts: dict[str, list[Update]] = {}
        self._base: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def rank(self) -> int:
        """The summed rank of all parts."""
        return sum(part.rank for parts in self._parts.values() for part in parts)

    def add(self, name: str, part: Update) -> None:
        """Merge an update into a layer's base weight; of the weight before, a copy is kept."""
        layer = self._layers[name]
        if name not in self._base:
            self._base[name] = layer.get_base_layer().weight.detach().clone()
        self._parts.setdefault(name, []).append(part)
        add_to_base(layer, part)

    def whole(self, name: str) -> Update:
        """Return what was merged into a layer and its own adapter as one update."""
        return join([*self._parts.get(name, ()), update_of(self._layers[name])])

    def take_out(self) -> dict[str, Update]:
        """Restore the base weights.

        Returns:
            By layer, what was merged and the layer's own adapter as one update, whose rank is at
            most the smaller side of the weight.
        """
        found: dict[str, Update] = {}
        for name in self._parts:
            layer = self._layers[name]
            with torch.no_grad():
                layer.get_base_layer().weight.copy_(self._base[name])
            whole = self.whole(name)
            side = min(layer.in_features, layer.out_features)
            if whole.rank > side:
                whole = truncate(decompose(whole).components, side)
            found[name] = whole
        self._parts, self._base = {}, {}
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Collect all parts for a checkpoint."""
        return {
            f"{name}/{index}/{side}": getattr(part, side)
            for name, parts in self._parts.items()
            for index, part in enumerate(parts)
            for side in ("a", "b")
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Merge what `tensors` gave, in the same order, so that the sums have the same bits."""
        keys = {key.rpartition("/")[0] for key in tensors}
        for key in sorted(keys, key=lambda one: int(one.rpartition("/")[2])):
            name = key.rpartition("/")[0]
            like = self._layers[name].get_base_layer().weight  # a checkpoint is read to the CPU
            a, b = (tensors[f"{key}/{side}"].to(like.device) for side in ("a", "b"))
            self.add(name, Update(a, b))
