"""Learning masks and lambdas by an objective of every task's predictions on unlabelled rows.

One step takes one batch of every task and lowers the sum of their objectives. Rows held back of
every task decide which step's masks are kept and when to stop; no label and no test row is read.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from adarank.errors import InputError, Problem, input_error, run_error
from adarank.merging.learned.coefficients import Coefficients
from adarank.merging.learned.entropy import mean_entropy
from adarank.merging.learned.merged_model import MergedModel
from adarank.merging.learned.state import State

Example = Mapping[str, Any]
Objective = Callable[[Tensor], Tensor]
_ADAM = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Unlabelled:
    """One task's rows and the model that predicts them.

    Attributes:
        task: Its name.
        model: A model with the task's head whose base is the body that all tasks share.
        prefix: The dotted name of the body in the model.
        examples: Encoded rows; labels are not read.
        collate: Makes the model's inputs of several examples.
    """

    task: str
    model: nn.Module
    prefix: str
    examples: Sequence[Example]
    collate: Callable[[Sequence[Example]], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Learning:
    """How long and how fast to learn.

    Attributes:
        steps: At most; the paper's 5000 (RoBERTa) with a rate of 5e-5. A mask can flip only once
            rate x steps exceeds its start of 0.1.
        batch: Rows of each task a step.
        seed: Decides the order of the rows and which are held back.
        held_back: Share of each task's rows on which the objective is checked, at least one row.
        check_every: Steps between two checks.
        patience: Stop after this many checks without a better objective; 0: never.
    """

    steps: int = 500
    batch: int = 16
    seed: int = 0
    held_back: float = 0.2
    check_every: int = 25
    patience: int = 4


def learn(
    merged: MergedModel,
    coefficients: Coefficients,
    tasks: Sequence[Unlabelled],
    learning: Learning,
    *,
    rate: float,
    prior: float,
    masks: bool = True,
    lambdas: bool = True,
    objective: Objective = mean_entropy,
    state: State | None = None,
    on_step: Callable[[State], None] | None = None,
) -> State:
    """Lower the sum of the tasks' objectives.

    Args:
        merged: The base with its additions, in eval mode as are all tasks' models.
        coefficients: What is learned, and its layout.
        tasks: Rows and heads, in the members' order.
        learning: See Learning.
        rate: Adam's learning rate, betas (.9, .999), no decay.
        prior: lambda at the start.
        masks: Whether masks are learned; else they stay as at the start.
        lambdas: Whether lambdas are learned; else they stay at the prior.
        objective: Of the logits of one task's rows; see `adarank.merging.learned.entropy`.
        state: Where to go on from; None to start. The same steps follow as without the stop.
        on_step: Gets the state after every step, to save it or to show progress.

    Returns:
        The last state; its tensors `best_logits` and `best_lambdas` are the result.

    Raises:
        InputError: A task with fewer than two rows, or a state of another merge.
        RunError: An objective that is not finite, with its step and task.
    """
    _refuse_few(tasks)
    split = [_split(len(task.examples), learning, index) for index, task in enumerate(tasks)]
    parameters = _parameters(coefficients, prior, state)
    learned = [p for p, on in zip(parameters, (masks, lambdas), strict=True) if on]
    optimiser = torch.optim.Adam(learned, lr=rate)
    held = [(task, rows) for task, (_, rows) in zip(tasks, split, strict=True)]

    def check(before: State | None) -> State:
        with torch.no_grad(), merged.with_coefficients(coefficients.by_weight(*parameters)):
            found = _on_held_back(merged, held, before, learning.batch, objective)
        return _better(before, found, parameters)

    if state is None:
        state = check(None)
    _restore(optimiser, state, parameters)

    while state.step < learning.steps and not _finished(state, learning):
        with merged.with_coefficients(coefficients.by_weight(*parameters)):
            total = torch.zeros(())
            for task, (rows, _) in zip(tasks, split, strict=True):
                examples = [task.examples[i] for i in batch_rows(rows, state.step, learning)]
                logits = _logits(merged, task, examples)
                total = total + _finite(objective(logits), task, state.step)
            # Of these alone: backward() would also fill the .grad of the base and the heads.
            gradients = torch.autograd.grad(total, learned)
        for parameter, gradient in zip(learned, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
        optimiser.zero_grad()
        tensors = state.tensors | _moments(optimiser, parameters) | _named(parameters)
        state = replace(state, step=state.step + 1, tensors=tensors)
        if state.step % learning.check_every == 0 or state.step == learning.steps:
            state = check(state)
        if on_step is not None:
            on_step(state)
    return state


def batch_rows(rows: Tensor, step: int, learning: Learning) -> list[int]:
    """The rows of a step's batch: a pass over all rows in random order, then another, and so on.

    A function of the step alone, so that a run can go on anywhere.
    """
    places = [divmod(step * learning.batch + i, len(rows)) for i in range(learning.batch)]
    orders = {
        epoch: torch.randperm(
            len(rows), generator=torch.Generator().manual_seed(learning.seed * 1_000_003 + epoch)
        )
        for epoch in {epoch for epoch, _ in places}
    }
    return [int(rows[orders[epoch][index]]) for epoch, index in places]


def _split(count: int, learning: Learning, index: int) -> tuple[Tensor, Tensor]:
    """Rows to learn from, and rows to check on."""
    draw = torch.Generator().manual_seed(learning.seed * 1_000_003 + 7919 * (index + 1))
    order = torch.randperm(count, generator=draw)
    held = min(count - 1, max(1, math.floor(learning.held_back * count)))
    return order[held:], order[:held]


def _logits(merged: MergedModel, task: Unlabelled, examples: Sequence[Example]) -> Tensor:
    batch = {k: v for k, v in task.collate(examples).items() if k != "labels"}
    return merged.logits(task.model, task.prefix, batch)


def _finite(objective: Tensor, task: Unlabelled, step: int) -> Tensor:
    if not bool(objective.isfinite()):
        raise run_error(
            "the objective is not finite",
            where=f"{task.task}, step {step}",
            got=float(objective),
            expected="finite logits",
            remedy="a lower rate, or a lower prior",
        )
    return objective


def _on_held_back(
    merged: MergedModel,
    held: Sequence[tuple[Unlabelled, Tensor]],
    state: State | None,
    batch: int,
    objective: Objective,
) -> float:
    """Compute the sum of the tasks' objectives, each on all of its held-back rows together."""
    total = 0.0
    for task, rows in held:
        logits = [
            _logits(merged, task, [task.examples[int(i)] for i in part])
            for part in rows.split(4 * batch)
        ]
        total += float(_finite(objective(torch.cat(logits)), task, state.step if state else 0))
    return total


def _better(state: State | None, total: float, parameters: tuple[Tensor, Tensor]) -> State:
    """Note the objective, and keep the parameters if it is the best."""
    step = state.step if state else 0
    history = (*(state.history if state else ()), (step, total))
    kept = {f"best_{name}": tensor for name, tensor in _named(parameters).items()}
    if state is None:
        return State(0, _named(parameters) | kept, total, 0, history)
    if total < state.best:
        return State(step, state.tensors | kept, total, step, history)
    return State(step, state.tensors, state.best, state.best_step, history)


def _finished(state: State, learning: Learning) -> bool:
    since = sum(step > state.best_step for step, _ in state.history)
    return 0 < learning.patience <= since


def _parameters(
    coefficients: Coefficients, prior: float, state: State | None
) -> tuple[Tensor, Tensor]:
    start = coefficients.start(prior)
    if state is not None:
        stored = [tuple(state.tensors[name].shape) for name in ("logits", "lambdas")]
        if stored != [tuple(tensor.shape) for tensor in start]:
            raise input_error(
                "the state is of another merge",
                where="state",
                got=f"logits and lambdas of shapes {stored}",
                expected=f"{[tuple(tensor.shape) for tensor in start]}",
                remedy="resume with the members and parameters that it was started with",
            )
        start = state.tensors["logits"], state.tensors["lambdas"]
    return start[0].clone().requires_grad_(), start[1].clone().requires_grad_()


def _named(parameters: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    names = ("logits", "lambdas")
    return {n: p.detach().clone() for n, p in zip(names, parameters, strict=True)}


def _moments(optimiser: torch.optim.Adam, parameters: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, parameter in zip(("logits", "lambdas"), parameters, strict=True):
        moments = optimiser.state.get(parameter, {})
        found |= {f"{name}.{part}": moments[part].clone() for part in _ADAM if part in moments}
    return found


def _restore(optimiser: torch.optim.Adam, state: State, parameters: tuple[Tensor, Tensor]) -> None:
    for name, parameter in zip(("logits", "lambdas"), parameters, strict=True):
        moments = {p: state.tensors.get(f"{name}.{p}") for p in _ADAM}
        if moments["exp_avg"] is not None:
            step = torch.tensor(float(state.step))
            optimiser.state[parameter] = {"step": step} | {
                part: tensor.clone() for part, tensor in moments.items() if tensor is not None
            }


def _refuse_few(tasks: Sequence[Unlabelled]) -> None:
    problems = [
        Problem(
            "too few texts",
            f"texts of {task.task}",
            f"{len(task.examples)}",
            "at least two: one to learn from and one held back",
            "name a file with more lines",
        )
        for task in tasks
        if len(task.examples) < 2
    ]
    if problems:
        raise InputError(*problems)
