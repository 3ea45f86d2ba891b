"""One linear layer in a row of blocks, as small as a model can be that signals are told of."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from adarank.models.modules import Module
from adarank.scoring.signals.objective import Batch, Objective

MODULE = Module("block.0", 0, "query", 6, 4)


class Toy(nn.Module):
    """y = W x, or whatever `apply` makes of the layer; the loss is half the squared error."""

    def __init__(self, apply: Callable[[nn.Linear, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block = nn.ModuleList([nn.Linear(6, 4, bias=False)])
        self.apply_layer = apply or (lambda layer, x: layer(x))

    @property
    def weight(self) -> Tensor:
        return self.block[0].weight.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.apply_layer(self.block[0], inputs)


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    error = model(batch["inputs"]) - batch["labels"]
    return 0.5 * error.square().flatten(1).sum(dim=1).mean()


OBJECTIVE = Objective(_loss, lambda _, batch: len(batch["inputs"]))


def toy_batch(n: int, *tokens: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return {
        "inputs": torch.randn(n, *tokens, 6, generator=generator),
        "labels": torch.randn(n, *tokens, 4, generator=generator),
    }
