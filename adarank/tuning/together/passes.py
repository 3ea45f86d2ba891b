"""Joint passes: batches of several runs go through the carrier as one, and are taken apart again.

A task asks a model once per loss or prediction. Its call is answered by the carrier for all runs'
rows together; each run's own loss is then computed by the task from its part of that answer.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from adarank.tasks.base import Batch, Example, Task
from adarank.tuning.loop.batches import length
from adarank.tuning.prediction import by_row, longest_first
from adarank.tuning.together.carrier import Carrier
from adarank.tuning.together.layout import Layout

PADDING = {"cpu": 0.1, "cuda": 1.0}
"""Tokens of padding that sharing a pass may cost, over the tokens that the runs have apart. Many
small passes keep a GPU waiting; its figure is a guess."""

TOKENS = {"cpu": 4096, "cuda": 65536}
"""Tokens of a joint pass at most, unless a single run has more."""


@dataclass(frozen=True)
class Joint:
    """What joint passes need.

    Attributes:
        task: Makes batches, losses and predictions.
        carrier: Computes them; installed.
        layout: Of the runs' lines.
        device: `cpu` or `cuda`.
        bf16: Whether forwards run in bfloat16.
    """

    task: Task
    carrier: Carrier
    layout: Layout
    device: str
    bf16: bool

    def gradients(
        self, lines: Tensor, runs: Sequence[int], batches: Sequence[Sequence[Example]]
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of each run on its own batch, and the gradient by its line.

        Args:
            lines: The runs' weights, shape (k, size).
            runs: Their numbers.
            batches: A batch a run.

        Returns:
            Losses, shape (k,), and gradients, shape (k, size).
        """
        losses, gradients = lines.new_zeros(len(runs)), torch.zeros_like(lines)
        for places in shared(batches, self.device):
            leaves = {n: t.requires_grad_() for n, t in self.layout.split(lines[places]).items()}
            self.carrier.use(leaves, torch.tensor([runs[p] for p in places], device=lines.device))
            own = self._losses([batches[place] for place in places])
            # Each run's loss depends on its own line alone, so one backward serves them all.
            found = torch.autograd.grad(own.sum(), list(leaves.values()), allow_unused=True)
            by_name = dict(zip(leaves, found, strict=True))
            losses[places] = own.detach()
            gradients[places] = self.layout.join(by_name, len(places))
        return losses, gradients

    @torch.no_grad()
    def predict(
        self,
        lines: Tensor,
        runs: Sequence[int],
        models: Sequence[nn.Module],
        examples: Sequence[Example],
        batch_size: int,
    ) -> list[pd.DataFrame]:
        """Predict the same rows with every run; see prediction.predict.

        Args:
            lines: The runs' weights, shape (k, size).
            runs: Their numbers.
            models: Their own models, for a task that writes text.
            examples: Encoded rows.
            batch_size: Rows of each run a forward.
        """
        order = longest_first(examples)
        model = self.carrier.model
        training = model.training
        model.eval()
        tables: list[list[pd.DataFrame]] = [[] for _ in runs]
        for at in range(0, len(order), batch_size):
            rows = [examples[index] for index in order[at : at + batch_size]]
            for places in shared([rows] * len(runs), self.device):
                picked = torch.tensor([runs[place] for place in places], device=lines.device)
                self.carrier.use(self.layout.split(lines[places]), picked)
                for place, (logits, batch) in zip(
                    places, self._answers([rows] * len(places)), strict=True
                ):
                    answer: Any = _Answer(logits, models[place])
                    tables[place].append(self.task.outputs(answer, batch))
        model.train(training)
        return [by_row(table, order) for table in tables]

    def _losses(self, batches: Sequence[Sequence[Example]]) -> Tensor:
        answers: list[tuple[Any, Batch]] = [(_Answer(a), b) for a, b in self._answers(batches)]
        return torch.stack([self.task.loss(answer, batch) for answer, batch in answers]).float()

    def _answers(self, batches: Sequence[Sequence[Example]]) -> list[tuple[Tensor, Batch]]:
        """Run the carrier on all batches at once; give each its logits, and its padded rows."""
        most = max(map(len, batches))
        # An epoch's last batch may be smaller: it is filled up, and its filling not looked at.
        rows = [row for batch in batches for row in (*batch, *[batch[0]] * (most - len(batch)))]
        joint = {name: t.to(self.device) for name, t in self.task.collate(rows).items()}
        logits: list[Tensor] = []

        def ask(**inputs: Any) -> None:
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
                answer = self.carrier.model(**inputs).logits
            logits.append(answer.float() if self.bf16 else answer)
            raise _AskedError

        asking: Any = ask
        with suppress(_AskedError):
            self.task.loss(asking, joint)
        spans = [slice(n * most, n * most + len(batch)) for n, batch in enumerate(batches)]
        return [(logits[0][s], {name: t[s] for name, t in joint.items()}) for s in spans]


def shared(batches: Sequence[Sequence[Example]], device: str) -> list[list[int]]:
    """Divide batches into those that share a pass, so that little of it is padding.

    Runs of other seeds have batches of other lengths at a step; all in one pass would be padded to
    the longest.

    Args:
        batches: Rows, a batch a run.
        device: `cpu` or `cuda`, which decides how much padding a shared pass is worth.

    Returns:
        Places in `batches`, shortest rows first.
    """
    sizes = [(max(map(length, batch)), len(batch)) for batch in batches]
    passes: list[list[int]] = []
    apart = most = 0  # of the pass at work: its runs' own tokens, and rows of the largest
    for place in sorted(range(len(batches)), key=lambda place: (sizes[place], place)):
        longest, rows = sizes[place]
        apart, most = apart + longest * rows, max(most, rows)
        limit = min((1 + PADDING[device]) * apart, TOKENS[device])
        if passes and (len(passes[-1]) + 1) * most * longest <= limit:
            passes[-1].append(place)
        else:
            passes.append([place])
            apart, most = longest * rows, rows
    return passes


class _AskedError(Exception):
    """Ends a task's loss once it has asked the model."""


class _Answer:
    """Stands for a model that has been asked already; what it writes comes from the run's own."""

    def __init__(self, logits: Tensor, own: Any = None):
        self._logits, self._own = logits, own

    def __call__(self, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=self._logits)

    def generate(self, **inputs: Any) -> Tensor:
        return self._own.generate(**inputs)
