"""Prefix reuse: with one module disturbed, only what comes after it is computed again.

Every part of the model that had returned before the disturbed module was entered, and every
linear layer that reads the same tensor as it, answers from a recording of the undisturbed
forward. The model's own code does the rest, so any architecture is served;
`adarank.scoring.estimators.exact` proves on real draws that the outputs equal those of full
forwards. Several draws of one module go through in one batch: one batched product at the module,
ordinary layers after it.

Of the blocks that answer, only the last one's output is read, so it is recorded alone and the
blocks before answer with it too: what is held does not grow with a model's depth.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from adarank.models.forwards import Forward, on_rows, replaced
from adarank.models.kinds import TOKEN_BY_TOKEN
from adarank.models.modules import Module, find_modules, resolve
from adarank.models.stacks import find_stacks
from adarank.scoring.engines.recording import (
    Recording,
    children_before,
    map_tensors,
    recorded,
    tensors_in,
)
from adarank.scoring.noise import Draw
from adarank.scoring.outputs import Batch, Output, compared_output, summary_rows


class Replay:
    """Disturbed forwards of one probe batch, with everything unaffected replayed.

    Args:
        model: In evaluation mode.
        batch: One batch of the probe, tensors of shape (batch, ...).
        output: The compared output.
        trim: Whether, in the last block, layers that work row by row compute only the rows
            that reach a pooled output.
    """

    def __init__(self, model: nn.Module, batch: Batch, output: Output, *, trim: bool) -> None:
        self._model, self._batch = model, batch
        self._output: Output = output
        self._rows = summary_rows(model, batch)
        last = _last_block(model) if trim and output == "pooled" else []
        with recorded(model, inputs=last) as self._order, torch.no_grad():
            compared_output(model, batch, output)
        self._lengths = {name: self._order.inputs.pop(name).shape[1] for name in last}
        self._grows = _outputs_that_grow(model, batch, output)
        self._stacks = [[resolve(model, b) for b in stack.blocks] for stack in find_stacks(model)]
        self._kept: dict[str, Any] = {}
        # By module, the parts that answer, each with the part whose output it answers with.
        self._answers: dict[str, dict[str, str]] = {}

    @torch.no_grad()
    def enter(self, modules: Sequence[Module]) -> None:
        """Record what the modules of one block need; forgets the block before.

        Runs one undisturbed forward, itself replayed from the previous block on.
        """
        names = [resolve(self._model, module.name) for module in modules]
        answers = {
            name: _with_stand_ins(children_before(self._model, name, self._order), self._stacks)
            for name in names
        }
        wanted = {source for of_one in answers.values() for source in of_one.values()} | set(names)
        common = set.intersection(*(set(of_one) for of_one in answers.values()))
        before = {part: by for of_one in self._answers.values() for part, by in of_one.items()}
        known_parts = {part: by for part, by in before.items() if part in common}
        recording_of = recorded(self._model, outputs=wanted, inputs=names)
        with self._answering(known_parts), recording_of as recording:
            compared_output(self._model, self._batch, self._output)
        known = {part: self._kept[part] for part in wanted & self._kept.keys()}
        self._kept = known | recording.outputs
        self._answers = {
            name: of_one | {other: other for other in _same_input(name, names, recording)}
            for name, of_one in answers.items()
        }

    @torch.no_grad()
    def outputs(self, module: Module, draws: Sequence[Draw]) -> Tensor:
        """Compute the compared output under several draws of one module's noise.

        Args:
            module: One of those last entered.
            draws: n disturbances of it.

        Returns:
            Shape (n, rows, coordinates).
        """
        name = resolve(self._model, module.name)
        n = len(draws)
        if n > 1 and not any(self._grows[name]):
            # One input for all texts (DeBERTa's positions): draws have no batch to go in.
            return torch.cat([self.outputs(module, [one]) for one in draws])
        answers = self._answers[name]
        disturbed = _disturbed_forward(self._model.get_submodule(name), draws)
        with self._answering(answers, n), self._computing({name: disturbed}, answers, n):
            batch = {key: _repeated(value, n) for key, value in self._batch.items()}
            values = compared_output(self._model, batch, self._output)
        return values.float().unflatten(0, (n, -1))

    @contextmanager
    def _answering(self, answers: Mapping[str, str], n: int = 1) -> Iterator[None]:
        made: dict[str, Any] = {}

        def answer(by: str) -> Any:
            if by not in made:
                grows = iter(self._grows[by])
                made[by] = map_tensors(
                    self._kept[by], lambda tensor: _repeated(tensor, n) if next(grows) else tensor
                )
            return made[by]

        stubs = {part: (lambda *_a, _by=by, **_k: answer(_by)) for part, by in answers.items()}
        with replaced(self._layers(stubs)):
            yield

    @contextmanager
    def _computing(
        self, forwards: dict[str, Forward], answers: Mapping[str, str], n: int
    ) -> Iterator[None]:
        rows = self._rows.repeat(n)
        for name, length in self._lengths.items():
            if name not in answers:
                whole = forwards.get(name, self._model.get_submodule(name).forward)
                forwards[name] = on_rows(whole, rows, length)
        with replaced(self._layers(forwards)):
            yield

    def _layers(self, forwards: dict[str, Forward]) -> dict[nn.Module, Forward]:
        return {self._model.get_submodule(name): forward for name, forward in forwards.items()}


def _with_stand_ins(parts: Sequence[str], stacks: Sequence[Sequence[str]]) -> dict[str, str]:
    """Give each part that answers the part whose output it answers with: itself, or a block's last.

    Args:
        parts: What was finished before a module.
        stacks: Names of the blocks of each stack, in their order.
    """
    answers = {part: part for part in parts}
    for blocks in stacks:
        finished = [block for block in blocks if block in answers]
        answers |= dict.fromkeys(finished, finished[-1] if finished else "")
    return answers


def _repeated(tensor: Tensor, n: int) -> Tensor:
    return tensor if n == 1 else tensor.repeat(n, *(1,) * (tensor.dim() - 1))


@torch.no_grad()
def _outputs_that_grow(model: nn.Module, batch: Batch, output: Output) -> dict[str, list[bool]]:
    """Return, for each tensor that each part returns, whether a larger batch makes it longer.

    Found by running one text and the same text twice; a bias of positions, say, stays as it is,
    and tokens flattened over texts grow though their length is not the batch's.
    """
    names = [name for name, _ in model.named_modules()]
    lengths: list[dict[str, list[int]]] = []
    for copies in (1, 2):
        texts = {key: _repeated(value[:1], copies) for key, value in batch.items()}
        with recorded(model, outputs=names) as recording:
            compared_output(model, texts, output)
        lengths.append(
            {
                name: [len(t) if t.dim() else 0 for t in tensors_in(value)]
                for name, value in recording.outputs.items()
            }
        )
    return {
        name: [two == 2 * one > 0 for one, two in zip(ones, lengths[1][name], strict=True)]
        for name, ones in lengths[0].items()
    }


def _last_block(model: nn.Module) -> list[str]:
    modules = find_modules(model)
    last = max(module.block for module in modules)
    inside = [m for m in modules if m.block == last and m.kind in TOKEN_BY_TOKEN]
    return [resolve(model, module.name) for module in inside]


def _same_input(name: str, names: Sequence[str], recording: Recording) -> list[str]:
    given = recording.inputs.get(name)
    return [
        other
        for other in names
        if other != name
        and given is not None
        and recording.inputs.get(other) is given
        and recording.calls[other] == 1
        and recording.starts[other] > recording.starts[name]
    ]


def _disturbed_forward(layer: nn.Module, draws: Sequence[Draw]) -> Forward:
    weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
    weights = torch.stack([weight + noise.weight for noise in draws])
    if not isinstance(layer, Conv1D):
        weights = weights.transpose(1, 2)
    biases = None
    if bias is not None:
        shifts = [bias if noise.bias is None else bias + noise.bias for noise in draws]
        biases = torch.stack(shifts).unsqueeze(1)

    def forward(inputs: Tensor) -> Tensor:
        rows = inputs.reshape(len(draws), -1, inputs.shape[-1])
        result = rows @ weights if biases is None else torch.baddbmm(biases, rows, weights)
        return result.reshape(*inputs.shape[:-1], -1)

    return forward
