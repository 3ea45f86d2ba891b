"""Full forwards of one disturbed module at a time: what replay is proven against."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from adarank.models.modules import Module, resolve
from adarank.scoring.noise import Draw, disturbed
from adarank.scoring.outputs import Batch, Output, compared_output


class Engine(Protocol):
    """Computes outputs under disturbance, for one batch of the probe."""

    def enter(self, modules: Sequence[Module]) -> None:
        """Make ready for the modules of one block."""
        ...

    def outputs(self, module: Module, draws: Sequence[Draw]) -> Tensor:
        """Compute the compared output per draw, shape (n, rows, coordinates)."""
        ...


class FullForwards:
    """The whole model for every draw: slow, and right for any model."""

    def __init__(self, model: nn.Module, batch: Batch, output: Output) -> None:
        self._model, self._batch = model, batch
        self._output: Output = output

    def enter(self, modules: Sequence[Module]) -> None:
        """Do nothing: nothing is kept between forwards."""

    @torch.no_grad()
    def outputs(self, module: Module, draws: Sequence[Draw]) -> Tensor:
        """Compute the compared output per draw, shape (n, rows, coordinates)."""
        layer = self._model.get_submodule(resolve(self._model, module.name))
        values: list[Tensor] = []
        for noise in draws:
            with disturbed(layer, noise, module.name):
                values.append(compared_output(self._model, self._batch, self._output).float())
        return torch.stack(values)
