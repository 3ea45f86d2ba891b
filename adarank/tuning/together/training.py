"""Training several runs of one task at once, each as if it were alone."""

import math
import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from adarank.tasks.base import Example, Task
from adarank.tuning.loop.batches import LengthBatches, length
from adarank.tuning.loop.checkpoint import Checkpoints, State, joined, part_of
from adarank.tuning.loop.finite import DivergedError, check_finite
from adarank.tuning.loop.training import repeatable
from adarank.tuning.loop.watch import Outcome
from adarank.tuning.seeds import generator
from adarank.tuning.together.adamw import LineAdamW, clip, schedule_factors
from adarank.tuning.together.carrier import Carrier
from adarank.tuning.together.layout import Layout
from adarank.tuning.together.passes import Joint
from adarank.tuning.together.runs import Progress, Run


def train_together(
    carrier: Carrier,
    runs: Sequence[Run],
    task: Task,
    train_rows: Sequence[Example],
    validation_rows: Sequence[Example],
    checkpoints: Checkpoints | None = None,
) -> list[Outcome]:
    """Train runs at once: as `train` does each, up to the order of sums.

    Every run has its own order of rows, loss, clipping, AdamW, rate, early stop and best weights. A
    run that has ended or diverged leaves the others to go on without it.

    Args:
        carrier: Holds every adapter of any run.
        runs: At least one; their models get their best weights.
        task: Makes batches, predictions and metrics.
        train_rows: Encoded rows to learn from.
        validation_rows: Encoded rows that choose the weights kept.
        checkpoints: Where the state of all runs is saved, and comes back from.

    Returns:
        In the order of the runs.
    """
    carrier.model.train()
    with carrier.installed(), torch.random.fork_rng(), repeatable(runs[0].settings.device):
        return _Training(carrier, runs, task, train_rows, validation_rows).run(checkpoints)


class _Training:
    """The state of all runs, and a step of it."""

    def __init__(
        self,
        carrier: Carrier,
        runs: Sequence[Run],
        task: Task,
        train_rows: Sequence[Example],
        validation_rows: Sequence[Example],
    ):
        common = runs[0].settings
        self._runs, self._task, self._common = runs, task, common
        self._train_rows, self._validation_rows = train_rows, validation_rows
        self._progress = [Progress(run, task) for run in runs]
        self._layout = layout = Layout(carrier.model)
        self._joint = Joint(task, carrier, layout, common.device, common.bf16)
        trainer: Any = Trainer
        decayed = trainer.get_decay_parameter_names(None, carrier.model)
        decay = layout.line_of(lambda name: common.weight_decay * (name in decayed))
        own = [run.settings for run in runs]
        rates = torch.stack([s.learning_rate * layout.line_of(s.ratios.of) for s in own])
        lines = torch.stack([layout.read(run.model) for run in runs])
        self._adamw = LineAdamW(*(t.to(common.device) for t in (lines, rates, decay)))
        self._factors = schedule_factors(common.schedule, common.steps)
        self._step = 0

    def run(self, checkpoints: Checkpoints | None) -> list[Outcome]:
        """Train until every run has ended."""
        last = checkpoints.last() if checkpoints else None
        if last is not None:
            self._restore(last)
        orders = [self._batches(run.seed) for run in self._runs]
        while self._unfinished:
            self._take_step([next(order) for order in orders])
            if self._step % self._common.evaluate_every == 0 or self._step == self._common.steps:
                self._look()
            if checkpoints and self._unfinished and checkpoints.due():
                checkpoints.save(self._state())
        return [one.outcome() for one in self._progress]

    @property
    def _going(self) -> list[int]:
        return [number for number, one in enumerate(self._progress) if one.going]

    @property
    def _unfinished(self) -> bool:
        return self._step < self._common.steps and bool(self._going)

    def _batches(self, seed: int) -> Iterator[list[Example]]:
        """Yield a run's batches, after those of the steps that were taken before."""
        rows, size = self._train_rows, self._common.batch_size
        order = LengthBatches([length(row) for row in rows], size, generator(seed, "order"))
        epochs, taken = divmod(self._step, len(order))
        order.skip(epochs)
        endless = chain.from_iterable(iter(lambda: list(order), None))
        return ([rows[index] for index in batch] for batch in islice(endless, taken, None))

    def _take_step(self, batches: list[list[Example]]) -> None:
        began, going = time.perf_counter(), self._going
        own = [batches[number] for number in going]
        losses, found = self._joint.gradients(self._adamw.values[going], going, own)
        norms = found.norm(dim=1)
        # Both at once: on a GPU, every value that is read waits for all that was queued.
        seen: list[list[float]] = torch.stack((losses, norms), dim=1).tolist()
        for place, number in enumerate(going):
            if not all(map(math.isfinite, seen[place])):
                self._fail(number, batches[number], *seen[place])
                found[place], norms[place] = 0.0, 0.0
        clip(found, norms, self._common.max_grad_norm)
        gradients = torch.zeros_like(self._adamw.values)
        gradients[going] = found
        factor = self._factors[self._step]
        self._step += 1
        self._adamw.step(gradients, self._step, factor)
        for place, number in enumerate(going):
            one = self._progress[number]
            one.took((time.perf_counter() - began) / len(going))
            if one.going:
                one.stepped(self._step, own[place], seen[place], factor)

    def _look(self) -> None:
        """Look at validation with every run that is going."""
        going, size = self._going, self._common.batch_size
        if not going:
            return
        models = [self._runs[number].model for number in going]
        lines = self._adamw.values[going]
        for line, model in zip(lines, models, strict=True):
            self._layout.write(line, model)
        tables = self._joint.predict(lines, going, models, self._validation_rows, size)
        for number, table in zip(going, tables, strict=True):
            self._progress[number].looked(self._step, table)
            if not self._progress[number].going:
                self._adamw.freeze(number)

    def _fail(self, number: int, batch: list[Example], loss: float, norm: float) -> None:
        """End a run that has diverged; its own model computes the step again to name where."""
        model = self._runs[number].model
        self._layout.write(self._adamw.values[number], model)
        moved = {n: t.to(self._common.device) for n, t in self._task.collate(batch).items()}
        model.zero_grad()

        def again() -> Tensor:
            with torch.autocast(self._common.device, torch.bfloat16, self._common.bf16):
                return self._task.loss(model, moved)

        again().backward()
        try:
            check_finite(model, again, loss, norm, self._step + 1)
        except DivergedError as error:
            self._progress[number].failed(error)
            self._adamw.freeze(number)
        model.zero_grad()

    def _state(self) -> State:
        adamw = self._adamw
        lines = {"values": adamw.values, "first": adamw.first, "second": adamw.second}
        runs = {f"run {number}": one.state() for number, one in enumerate(self._progress)}
        trainer = State(note={"global_step": self._step})
        return joined({"lines": State(lines), "trainer": trainer} | runs)

    def _restore(self, state: State) -> None:
        self._step = part_of(state, "trainer").note["global_step"]
        lines = part_of(state, "lines").tensors
        for name in ("values", "first", "second"):
            kept: Tensor = getattr(self._adamw, name)
            kept.copy_(lines[name])
        for number, one in enumerate(self._progress):
            one.restore(part_of(state, f"run {number}"), self._step)
            if not one.going:
                self._adamw.freeze(number)
