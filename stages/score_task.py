"""Score every module by one task: by its labels' gradients, or on its train rows' texts.

Run: python -m stages.score_task --task trec --signal weight_gradient
"""

# Before all other imports: importing it hashes the code, which these then read.
from adarank.pipeline.scratch.fingerprint import fingerprint

# isort: split
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, cast

import numpy as np
import pandas as pd
import torch
import typer
from torch import nn

from adarank.errors import input_error
from adarank.models.coverage import cover
from adarank.models.modules import Module
from adarank.models.stacks import reapplied_blocks
from adarank.pipeline.artifacts.model import form_of, load_tokenizer, pick_device
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.artifacts.scores import about_coverage, about_modules, write_scores
from adarank.pipeline.artifacts.task import (
    DESCRIPTION,
    read_description,
    read_split,
    task_folder,
)
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.tables import as_parquet, from_parquet
from adarank.pipeline.files.whole import folder_sha256
from adarank.pipeline.params.finetune import FinetuneSection
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.model import ModelSection
from adarank.pipeline.params.probe import ProbeSection, sample_texts
from adarank.pipeline.params.score import ScoreSection
from adarank.pipeline.params.share import Share, not_shareable, share_from
from adarank.pipeline.params.signal import SignalSection, TaskSignalName
from adarank.pipeline.params.tasks import TasksSection, finetune_of, task_named
from adarank.pipeline.running.disturbing import Disturbing, checked_model
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.entry import of_files
from adarank.pipeline.scratch.store import Key, make_key, open_store
from adarank.scoring.scores import Scores
from adarank.scoring.signals.activation_variance import activation_variance
from adarank.scoring.signals.fisher import fisher
from adarank.scoring.signals.gradient_directions import gradient_directions
from adarank.scoring.signals.gradient_spectrum import gradient_spectrum
from adarank.scoring.signals.input_directions import input_directions
from adarank.scoring.signals.objective import Objective
from adarank.scoring.signals.warmup import WarmUp, warm_up
from adarank.scoring.signals.weight_gradient import weight_gradient
from adarank.tasks.base import Batch, Example, Headed, Task
from adarank.tasks.registry import make_task

SIGNAL_MODULES = tuple(
    f"adarank.scoring.signals.{name}"
    for name in (
        "weight_gradient",
        "fisher",
        "gradient_spectrum",
        "gradient_directions",
        "activation_variance",
        "input_directions",
    )
)
CODE = {
    name.rpartition(".")[2]: fingerprint(
        "stages.score_task", without=tuple(other for other in SIGNAL_MODULES if other != name)
    )
    for name in SIGNAL_MODULES
}
"""The code that decides each signal: an edit of one signal recomputes no other."""


class Params(Slice):
    """What the stage reads."""

    signal: SignalSection
    tasks: TasksSection
    probe: ProbeSection
    score: ScoreSection
    finetune: FinetuneSection
    model: ModelSection


@dataclass(frozen=True)
class SignalKind:
    """One signal of the task.

    Attributes:
        compute: Computes it; with `components` given where it is a spectrum.
        labels: Whether it learns from labels, so that the head must be warmed up first.
        spectrum: Whether every rank gets a score of its own.
        bounded: Whether score.memory_gb bounds what it holds: `fisher` holds one gradient.
    """

    compute: Callable[..., Scores]
    labels: bool = False
    spectrum: bool = False
    bounded: bool = False


KINDS: dict[TaskSignalName, SignalKind] = {
    "weight_gradient": SignalKind(weight_gradient, labels=True, bounded=True),
    "fisher": SignalKind(fisher, labels=True),
    "gradient_spectrum": SignalKind(gradient_spectrum, labels=True, spectrum=True, bounded=True),
    "gradient_directions": SignalKind(
        gradient_directions, labels=True, spectrum=True, bounded=True
    ),
    "activation_variance": SignalKind(activation_variance, spectrum=True, bounded=True),
    "input_directions": SignalKind(input_directions, spectrum=True, bounded=True),
}


@dataclass(frozen=True)
class Work:
    """What a signal is computed on.

    Attributes:
        task: Makes batches and their loss.
        headed: The model with the task's head, on the device.
        batches: The sampled rows, on the device, long ones first.
        modules: What is scored.
    """

    task: Task
    headed: Headed
    batches: list[Batch]
    modules: list[Module]

    @property
    def objective(self) -> Objective:
        """The task's loss."""
        return Objective(self.task.loss)


def run(params: Params, task: str, signal: TaskSignalName, costs: dict[str, Any]) -> None:
    """Score data/model on train rows of a task, and write the table and its summary.

    Args:
        params: What the stage reads.
        task: The task's name.
        signal: Which score to compute.
        costs: Gets what else the scoring's time stands for.
    """
    model_sha256 = checked_model(trusted=params.model.trust_remote_code)
    if signal == "task_disagreement":
        scores, estimator, facts = _disturbing(params, task, model_sha256).score(costs)
    else:
        scores, facts = _stored_or_computed(params, task, signal, model_sha256)
        estimator = signal
    write_scores(task, signal, estimator, scores, facts, model_sha256)


def run_share(params: Params, task: str, signal: TaskSignalName, share: Share) -> None:
    """Score a share of the modules into the scratch store.

    Raises:
        InputError: These scores cannot be shared out.
    """
    if signal != "task_disagreement":
        raise not_shareable(signal, "task_disagreement")
    model_sha256 = checked_model(trusted=params.model.trust_remote_code)
    _disturbing(params, task, model_sha256).score_share(share)


def _disturbing(params: Params, task: str, model_sha256: str) -> Disturbing:
    probe = params.probe
    return Disturbing(
        fingerprint("stages.score_task", without=SIGNAL_MODULES),
        sample_texts(task_folder(task) / "train.parquet", probe.rows, probe.seed),
        probe.max_length,
        params.score,
        form_of(params.model),
        model_sha256,
    )


def _stored_or_computed(
    params: Params, task: str, signal: TaskSignalName, model_sha256: str
) -> tuple[Scores, dict[str, Any]]:
    store, key = open_store(), _key(params, task, signal, model_sha256)
    with store.held(key):
        entry = store.get(key)
        if entry is not None:
            say(f"{key.what}: taken from {store.name}")
        else:
            scores, facts = _computed(params, task, signal)
            note = {"engine": scores.engine, "forwards": scores.forwards, "facts": facts}
            entry = of_files({"table": as_parquet(scores.table)}, note)
            store.put(key, entry)
    table = from_parquet(entry.files["table"])
    return Scores(table, entry.note["engine"], entry.note["forwards"]), entry.note["facts"]


def _key(params: Params, task: str, signal: TaskSignalName, model_sha256: str) -> Key:
    section = params.tasks.find(task)
    # Only what these signals read: an edit elsewhere in a section restarts the stage, not the work.
    return make_key(
        "scores",
        f"score {signal} of {task}",
        **surroundings(CODE[signal], pick_device(params.signal.device)),
        model=model_sha256,
        dtype=params.model.dtype,
        data=folder_sha256(task_folder(task), (DESCRIPTION, "train.parquet")),
        signal=signal,
        section=params.signal.model_dump(exclude={"device"}),
        options=asdict(section.options),
        max_length=finetune_of(params.finetune, section).max_length,
        modules=params.score.modules,
    )


def _computed(params: Params, task: str, name: TaskSignalName) -> tuple[Scores, dict[str, Any]]:
    kind, section = KINDS[name], params.signal
    work, facts = _prepared(params, task, kind)
    model, batches, modules = work.headed.model, work.batches, work.modules
    uses = "text and labels" if kind.labels else "text alone"
    say(f"score: {name}, {len(modules)} modules, {facts['texts']} train rows, their {uses}")
    facts |= about_modules(model, modules, reapplied_blocks(model, batches[0], work.task.loss))
    if kind.labels:
        facts["warmup"] = _warmed(work, section)
    kept: dict[str, Any] = {"components": section.components} if kind.spectrum else {}
    if kind.bounded:
        kept["memory_gb"] = params.score.memory_gb
    steps = len(batches) + (len(modules) if kind.spectrum else 0)
    with progress(f"score {name}", steps) as advance:
        scores = kind.compute(model, batches, modules, work.objective, advance=advance, **kept)
    return scores, facts


def _prepared(params: Params, name: str, kind: SignalKind) -> tuple[Work, dict[str, Any]]:
    section, about = params.signal, params.tasks.find(name)
    device = pick_device(section.device)
    length = finetune_of(params.finetune, about).max_length
    task = make_task(read_description(name), load_tokenizer(MODEL), length, about.options)
    encoded = task.encode(_sample(name, section.rows, section.seed))
    if encoded.truncated:
        say(f"score: {encoded.truncated} rows were longer than finetune.max_length and cut")
    # Packing and what has nothing to learn from concern labels only.
    examples = task.for_training(encoded.examples) if kind.labels else encoded.examples
    headed = task.build(MODEL, section.seed, replace(form_of(params.model), quantization=None))
    # transformers types its own `to` for itself alone.
    model = cast("nn.Module", headed.model).to(device)
    batches = _batches(task, examples, section.batch_size, device)
    covered = cover(model, batches, params.score.modules, task.loss)
    work = Work(task, headed, batches, list(covered.modules))
    facts = {"texts": len(encoded.examples), "texts_cut": encoded.truncated}
    return work, facts | about_coverage(covered)


def _sample(task: str, wanted: int, seed: int) -> pd.DataFrame:
    rows = read_split(task, "train")
    if wanted > len(rows):
        raise input_error(
            "fewer train rows than asked for",
            where="signal.rows",
            got=wanted,
            expected=f"at most {len(rows)}, the rows of {task_folder(task)}/train.parquet",
            remedy=f"signal.rows: {len(rows)}, or less",
        )
    picked = np.random.default_rng(seed).permutation(len(rows))[:wanted]
    return rows.iloc[np.sort(picked)].reset_index(drop=True)


def _batches(task: Task, examples: list[Example], size: int, device: torch.device) -> list[Batch]:
    ordered = sorted(examples, key=lambda example: -len(example["input_ids"]))
    parts = [ordered[at : at + size] for at in range(0, len(ordered), size)]
    return [{k: v.to(device) for k, v in task.collate(part).items()} for part in parts]


def _warmed(work: Work, section: SignalSection) -> dict[str, Any] | None:
    settings = WarmUp(section.warmup_steps, section.warmup_learning_rate, section.seed)
    model, head = work.headed.model, work.headed.head
    with progress("warm-up", settings.steps if head else 0) as advance:
        done = warm_up(model, head, work.batches, work.objective, settings, advance=advance)
    if done is None:
        say("score: no warm-up: " + ("signal.warmup_steps is 0" if head else "no new head"))
        return None
    say(
        f"score: warm-up of {', '.join(head)}: loss {done.loss_before:.4f} before, "
        f"{done.loss_after:.4f} after {done.steps} steps"
    )
    if done.loss_after >= done.loss_before:
        say("score: the warm-up learnt nothing: lower signal.warmup_learning_rate")
    return asdict(done)


app = typer.Typer(add_completion=False)
TaskOption = Annotated[str, typer.Option("--task", help="The task's name.")]
SignalOption = Annotated[
    TaskSignalName,
    typer.Option(
        "--signal",
        help="weight_gradient, fisher, gradient_spectrum and gradient_directions learn from "
        "labels; activation_variance, input_directions and task_disagreement read the texts "
        "alone. Train rows only.",
    ),
]


ShareOption = Annotated[
    str | None,
    typer.Option(
        "--share",
        help="task_disagreement: score this share of the modules alone, such as 1/4, into the "
        "scratch store.",
    ),
]


@app.command(epilog=describe(Params))
def main(
    task: TaskOption,
    signal: SignalOption,
    params: ParamsFile = PARAMS_FILE,
    share: ShareOption = None,
) -> None:
    """Score modules by a task's train rows; writes data/scores/TASK/SIGNAL.parquet."""
    with reporting(f"score-{task}-{signal}") as costs, task_named(task):
        loaded = load(Params, params)
        if share is None:
            run(loaded, task, signal, costs)
        else:
            run_share(loaded, task, signal, share_from(share))


if __name__ == "__main__":
    app()
