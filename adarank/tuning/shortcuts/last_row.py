"""In the last block, layers that work token by token compute the one that the head reads.

A head that gives one answer per text reads one token of the last block: the first of an encoder,
the last of a causal model. Key and value are needed of every token; query, attention output and
the feed-forward layers of that one alone: with d hidden and 4 d feed-forward units, 10 of 12 parts
of the block's products are left out, forward and backward.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from adarank.models.forwards import Forward, on_rows, replaced
from adarank.models.kinds import TOKEN_BY_TOKEN
from adarank.models.modules import Module
from adarank.scoring.outputs import summary_rows
from adarank.tuning.shortcuts.calls import read_call


class LastRow:
    """The token-by-token layers of a model's last block.

    Args:
        model: The transformers model with its head, without PEFT's wrapper.
        base: The base model in it.
        modules: Every module of the base model.
    """

    def __init__(self, model: nn.Module, base: nn.Module, modules: Sequence[Module]):
        last = max(module.block for module in modules)
        self._model, self._base = model, base
        self._layers = [
            base.get_submodule(module.name)
            for module in modules
            if module.block == last and module.kind in TOKEN_BY_TOKEN
        ]
        self._signature = inspect.signature(base.forward)
        self._rows: Tensor | None = None
        self._length = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let these layers compute one token per row while the body runs."""
        hook = self._base.register_forward_pre_hook(self._enter, with_kwargs=True)
        try:
            with replaced({layer: self._forward(layer) for layer in self._layers}):
                yield
        finally:
            hook.remove()

    def _enter(self, _base: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = read_call(self._signature, args, kwargs)
        self._rows = None
        if call is not None:
            batch = {"input_ids": call.inputs["input_ids"], "attention_mask": call.mask.long()}
            self._rows, self._length = summary_rows(self._model, batch), call.mask.shape[1]

    def _forward(self, layer: nn.Module) -> Forward:
        inner = layer.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            if self._rows is None:
                return inner(*args, **kwargs)
            return on_rows(inner, self._rows, self._length)(*args, **kwargs)

        return forward
