"""The frozen prefix of a model: blocks before the first one that is trained, computed once.

Where the first k blocks have no adapter and the embeddings are frozen, the hidden states that enter
block k are the same in every epoch, and for every seed and learning rate. They are computed once
per row, without padding, and kept in memory; a step then runs blocks k and later alone.

A row's states are computed together with other rows of its length, in groups that depend on the
rows alone. So a run that was interrupted, or one after another, finds the same bits.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from adarank.models.forwards import replaced
from adarank.models.stacks import find_stacks
from adarank.tasks.base import Example, Task
from adarank.tuning.loop.batches import length
from adarank.tuning.shortcuts.calls import Call, read_call

GROUP = 32
"""Rows of one length that go through the prefix together, at most."""

States = dict[bytes, Tensor]
"""Hidden states that enter the first trained block, by row; shape (tokens, hidden) each."""


class _Stop(Exception):  # noqa: N818 -- ends a forward, and is no error
    """Ends a forward pass whose rest is not needed."""


def frozen_blocks(base: nn.Module) -> list[nn.Module]:
    """List the blocks of a base model that come before the first with a trained parameter.

    Empty for a model of several stacks, such as an encoder and a decoder.
    """
    stacks = find_stacks(base)
    if len(stacks) != 1:
        return []
    frozen: list[nn.Module] = []
    for name in stacks[0].blocks:
        block = base.get_submodule(name)
        if any(parameter.requires_grad for parameter in block.parameters()):
            break
        frozen.append(block)
    return frozen


class Prefix:
    """The frozen blocks of one model.

    Args:
        base: The base model, with its adapters.
        blocks: Its frozen blocks, in their order; at least one.
        states: Outputs of the last of them by row, shared between models of the same weights.
    """

    def __init__(self, base: nn.Module, blocks: Sequence[nn.Module], states: States):
        self._base, self._blocks, self.states = base, list(blocks), states
        self._signature = inspect.signature(base.forward)
        self._call: Call | None = None
        self._ready: Tensor | None = None
        self._output: Any = None
        self._storing = False
        self.replay = True

    @property
    def output(self) -> Any:
        """What the last frozen block returned when it was last computed."""
        return self._output

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Answer for the frozen blocks while the body runs, where every row's states are stored."""
        forwards = {
            block: self._forward(block, last=block is self._blocks[-1]) for block in self._blocks
        }
        hook = self._base.register_forward_pre_hook(self._enter, with_kwargs=True)
        try:
            with replaced(forwards):
                yield
        finally:
            hook.remove()

    def store(self, model: nn.Module, task: Task, rows: Sequence[Example], device: str) -> None:
        """Compute and keep the states of rows that have none; to be called while installed.

        Args:
            model: The whole model, which `task` can run.
            task: Makes the batches.
            rows: Encoded rows.
            device: Where the model is.
        """
        self._storing = True
        try:
            for group in groups(rows):
                batch = {name: t.to(device) for name, t in task.collate(group).items()}
                try:
                    with torch.no_grad():
                        task.loss(model, batch)
                except _Stop:
                    continue
        finally:
            self._storing = False

    def _enter(self, _base: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._ready, self._call = None, read_call(self._signature, args, kwargs)
        if self._call is None or not self.replay:
            return
        known = [self.states.get(key) for key in self._call.row_keys()]
        found = [states for states in known if states is not None]
        if len(found) < len(known):
            return
        if self._storing:
            raise _Stop
        mask, first = self._call.mask, found[0]
        # Padding stays 0: it is masked in every attention, and nothing reads it.
        ready = first.new_zeros(*mask.shape, first.shape[1])
        ready[mask] = torch.cat(found)
        self._ready = ready

    def _forward(self, block: nn.Module, *, last: bool) -> Callable[..., Any]:
        inner = block.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            if self._ready is not None:
                return _in_form_of(self._output, self._ready)
            output = inner(*args, **kwargs)
            if last:
                self._output = output
                if self._storing:
                    self._keep(hidden_of(output))
                    raise _Stop
            return output

        return forward

    def _keep(self, hidden: Tensor) -> None:
        assert self._call is not None
        parts = hidden[self._call.mask].split(self._call.mask.sum(1).tolist())
        for key, states in zip(self._call.row_keys(), parts, strict=True):
            self.states.setdefault(key, states.clone())


def groups(rows: Sequence[Example]) -> Iterator[list[Example]]:
    """Divide rows into groups of one length each, of `GROUP` rows at most, in a fixed order."""
    of_length: dict[int, list[Example]] = {}
    for row in rows:
        of_length.setdefault(length(row), []).append(row)
    for n in sorted(of_length):
        alike = of_length[n]
        yield from (alike[at : at + GROUP] for at in range(0, len(alike), GROUP))


def hidden_of(output: Any) -> Tensor:
    """Take the hidden states from what a block returns: a tensor, or the first of a tuple."""
    return output[0] if isinstance(output, tuple) else output


def _in_form_of(output: Any, hidden: Tensor) -> Any:
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden
