"""One merge of a study: of one seed's adapters, by one method, into one folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adarank.comparison.across_tasks.table import TaskMetric, averaged
from adarank.errors import input_error
from adarank.merging.closed_form import MergedWeights
from adarank.merging.learned.learning import Learning, Unlabelled
from adarank.merging.learned.merge import Learned, merge_learned
from adarank.merging.learned.state import State
from adarank.merging.parameters import Value
from adarank.merging.task_vectors import Member, excluded_of
from adarank.pipeline.merging.base import read_base
from adarank.pipeline.merging.reading import read_members
from adarank.pipeline.merging.result import write_result
from adarank.pipeline.merging.running import Report, write_report
from adarank.pipeline.merging.runs import MergeRun
from adarank.pipeline.merging.shared_body import SharedBody
from adarank.tasks.base import Example, Task
from adarank.tuning.prediction import predict


@dataclass(frozen=True)
class MergeWork:
    """What all seeds of a merge have in common.

    Attributes:
        run: The method and its parameters.
        model: The base model's folder.
        tasks: By name, in the study's order.
        rows: By task: encoded validation rows to choose lambda by, or rows that a learned method
            reads without their labels.
        rank: Average rank of the result; None where it is not truncated.
        learning: Of a learned method; its seed is replaced.
        batch_sizes: By task: rows a forward on validation.
        device: Where lambda is chosen; masks are learned on the CPU.
    """

    run: MergeRun
    model: Path
    tasks: Mapping[str, Task]
    rows: Mapping[str, Sequence[Example]]
    rank: float | None
    learning: Learning
    batch_sizes: Mapping[str, int]
    device: torch.device


def merge_seed(
    work: MergeWork,
    folders: Mapping[str, Path],
    seed: int,
    output: Path,
    *,
    state: State | None = None,
    on_step: Callable[[State], None] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Merge one seed's adapters.

    Args:
        work: The merge.
        folders: By task: the member's folder.
        seed: Decides what the method draws, and the order of rows.
        output: Gets the result (`result.write_result`), merge.json and, of a learned method,
            coefficients.safetensors.
        state: Where a learned method goes on from.
        on_step: Gets a learned method's state after every step.
        advance: Called for every lambda that is tried, or every step.

    Raises:
        InputError: Members or heads that do not fit, or tasks that share no unit to choose by.
        RunError: An objective that is not finite.
    """
    run, base = work.run, read_base(work.model)
    members = read_members(base, {task: folders[task] for task in work.tasks})
    values, tried, learned = run.values, {}, None
    if run.method.learned:

        def stepped(at: State) -> None:
            advance()
            if on_step is not None:
                on_step(at)

        learned = _learned(work, members, seed, state, stepped)
        vectors = learned.vectors
    else:
        values, tried = _chosen(work, members, seed, advance)
        vectors = dict(MergedWeights(members, run.method, values, seed))
    written = write_result(output, base, vectors, members, work.rank)
    report = Report(
        run.method.name,
        values,
        tuple(work.tasks),
        len(vectors),
        excluded_of(members),
        learned,
        written,
    )
    chosen = [{"value": value, "mean": mean} for value, mean in tried.items()]
    write_report(output, report, tried=chosen, seed=seed)


def _learned(
    work: MergeWork,
    members: Sequence[Member],
    seed: int,
    state: State | None,
    on_step: Callable[[State], None],
) -> Learned:
    shared = _shared(work, members)
    rows = [
        Unlabelled(name, model, shared.prefix, work.rows[name], partial(_collated, task))
        for (name, task), model in zip(work.tasks.items(), shared.models, strict=True)
    ]
    learning = replace(work.learning, seed=seed)
    return merge_learned(
        shared.body,
        members,
        work.run.method,
        work.run.values,
        rows,
        learning,
        state=state,
        on_step=on_step,
    )


def _collated(task: Task, examples: Sequence[Mapping[str, Any]]) -> Mapping[str, Tensor]:
    return task.collate([dict(example) for example in examples])


def _chosen(
    work: MergeWork, members: Sequence[Member], seed: int, advance: Callable[[], None]
) -> tuple[Mapping[str, Value], dict[float, float | None]]:
    """Choose the tuned parameter by the mean over the tasks on validation; the first of equals."""
    run = work.run
    if len(run.grid) < 2:
        for _ in run.grid:
            advance()
        return run.values, {}
    _refuse_units(work)
    shared = _shared(work, members)
    for model in [shared.body, *shared.models]:
        model.to(work.device)
    tuned, means = str(run.method.tuned), dict[float, float | None]()
    for value in run.grid:
        vectors = dict(MergedWeights(members, run.method, {**run.values, tuned: value}, seed))
        with shared.merged(vectors):
            means[value] = _mean_on_validation(work, shared)
        advance()
    known = {value: mean for value, mean in means.items() if mean is not None}
    best = max(known, key=lambda value: known[value]) if known else run.grid[0]
    return {**run.values, tuned: best}, means


def _mean_on_validation(work: MergeWork, shared: SharedBody) -> float | None:
    """The mean of the tasks' headline metrics, signed so that more is better."""
    total = 0.0
    for (name, task), model in zip(work.tasks.items(), shared.models, strict=True):
        table = predict(
            model, task, work.rows[name], batch_size=work.batch_sizes[name], device=work.device
        )
        value = task.metrics(table)[task.headline]
        if value is None:
            return None
        total += value if task.better[task.headline] == "higher" else -value
    return total / len(work.tasks)


def _refuse_units(work: MergeWork) -> None:
    metrics = {
        name: TaskMetric(task.headline, task.better[task.headline])
        for name, task in work.tasks.items()
    }
    if len(averaged(metrics).tasks) < len(metrics):
        raise input_error(
            "the tasks share no unit, so no mean over them can choose lambda",
            where="merge.scaling",
            got=", ".join(f"{name}: {one.metric}" for name, one in metrics.items()),
            expected="tasks of bounded metrics, or of one metric",
            remedy="give one value: merge.scaling: [0.3]",
        )


def _shared(work: MergeWork, members: Sequence[Member]) -> SharedBody:
    return SharedBody(work.model, list(work.tasks.values()), [member.head for member in members])
