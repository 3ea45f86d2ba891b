"""One model that computes the rows of several runs, each with its own adapters and head."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from torch.func import functional_call, vmap

from adarank.models.forwards import Forward, replaced
from adarank.tuning.lora import ADAPTER, layers_of


class Carrier:
    """A PEFT model whose adapters and head are those of several runs, stacked.

    The base model computes all rows at once. Where PEFT computes s B A x, the factors of k runs
    are batched: (k, rows, d_in) by (k, d_in, r), then by (k, r, d_out), r being the highest rank
    of any. The rows of a batch are those of the first run, then as many of the second, and so on.

    Args:
        model: Has an adapter wherever any run has one, of the highest rank; its scales are set to
            1, and its own factors are not used.
        runs: The runs' models, for their scales.
    """

    def __init__(self, model: PeftModel, runs: Sequence[PeftModel]):
        self.model = model
        self._names = {id(p): name for name, p in model.named_parameters()}
        self._weights: Mapping[str, Tensor] = {}
        self._picked = torch.zeros(0, dtype=torch.long)
        self._scales = _scales(model, runs)
        for layer in layers_of(model).values():
            layer.scaling[ADAPTER] = 1.0

    def use(self, weights: Mapping[str, Tensor], runs: Tensor) -> None:
        """Compute with these weights from now on.

        Args:
            weights: By the parameter's name, shape (k, *its shape).
            runs: Which of the runs these are, shape (k,).
        """
        self._weights, self._picked = weights, runs

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Compute with stacked weights while the body runs."""
        forwards: dict[nn.Module, Forward] = {}
        for name, layer in layers_of(self.model).items():
            a: Any = layer.lora_A[ADAPTER]
            b: Any = layer.lora_B[ADAPTER]
            forwards[a] = self._product(a, self._scales[name].to(a.weight.device))
            forwards[b] = self._product(b)
        for part in self.model.modules():
            if isinstance(part, ModulesToSaveWrapper):
                forwards[part] = self._head(part)
        with replaced(forwards):
            yield

    def _product(self, layer: nn.Linear, scales: Tensor | None = None) -> Forward:
        name = self._names[id(layer.weight)]

        def forward(inputs: Tensor) -> Tensor:
            weight = self._weights[name]
            out = torch.bmm(inputs.reshape(len(weight), -1, inputs.shape[-1]), weight.mT)
            if scales is not None:
                out = out * scales[self._picked, None, None]
            return out.reshape(*inputs.shape[:-1], -1)

        return forward

    def _head(self, wrapper: ModulesToSaveWrapper) -> Forward:
        head: nn.Module = wrapper.modules_to_save[ADAPTER]  # pyright: ignore[reportAssignmentType]
        names = {local: self._names[id(p)] for local, p in head.named_parameters()}

        def forward(inputs: Tensor) -> Any:
            weights = {local: self._weights[name] for local, name in names.items()}
            per_run = inputs.unflatten(0, (len(self._picked), -1))
            out = vmap(lambda own, rows: functional_call(head, own, (rows,)))(weights, per_run)
            return out.flatten(0, 1)

        return forward


def _scales(model: PeftModel, runs: Sequence[PeftModel]) -> dict[str, Tensor]:
    """Read each run's scale of each adapter, shape (K,); 0 where a run has none there."""
    own = [layers_of(run) for run in runs]
    return {
        name: torch.tensor([float(m[name].scaling[ADAPTER]) if name in m else 0.0 for m in own])
        for name in layers_of(model)
    }
