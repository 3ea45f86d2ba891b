"""Score every module by the task at hand: by its labels' gradients, or by its rows' activations.

Run: python -m stages.score_task --signal weight_gradient
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np
import pandas as pd
import torch
import typer
from pydantic import Field
from torch import nn

from adarank.errors import input_error
from adarank.models.coverage import cover
from adarank.models.modules import Module
from adarank.models.stacks import reapplied_blocks
from adarank.pipeline.artifacts.dataset import DATASET, read_description, read_split
from adarank.pipeline.artifacts.model import MODEL, check_model, load_tokenizer, pick_device
from adarank.pipeline.artifacts.remote_code import ModelCode, admit_code
from adarank.pipeline.artifacts.scores import about_coverage, about_modules, write_scores
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import as_parquet, folder_sha256, from_parquet
from adarank.pipeline.params.loader import Section, Slice, describe, load
from adarank.pipeline.params.task import TaskSection, options_of
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.entry import of_files
from adarank.pipeline.scratch.store import Key, make_key, open_store
from adarank.scoring.scores import Scores
from adarank.scoring.signals.activation_variance import activation_variance
from adarank.scoring.signals.fisher import fisher
from adarank.scoring.signals.gradient_spectrum import gradient_spectrum
from adarank.scoring.signals.objective import Objective
from adarank.scoring.signals.warmup import WarmUp, warm_up
from adarank.scoring.signals.weight_gradient import weight_gradient
from adarank.tasks.base import Batch, Example, Headed, Task
from adarank.tasks.registry import make_task


class SignalSection(Section):
    """How signals of the task are computed, always on train rows."""

    rows: int = Field(ge=1, description="train rows that signals are computed on, a sample")
    batch_size: int = Field(ge=1, description="rows a forward; decides the warm-up's batches too")
    warmup_steps: int = Field(
        ge=0,
        description="signals of labels: AdamW steps, a batch each, that train a new head alone on "
        "frozen features first (before them label gradients are noise); 0 for none",
    )
    warmup_learning_rate: float = Field(
        gt=0, le=1, description="AdamW's rate in the warm-up, constant; at most 1"
    )
    components: int = Field(
        ge=1,
        description="gradient_spectrum, activation_variance: most ranks of a module that get a "
        "score; at least the highest rank a plan may give",
    )
    seed: int = Field(ge=0, description="decides the sample, the new head and the warm-up's order")
    device: str = Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu or cuda")


class ScoredModules(Slice):
    """What must be as for the other signals."""

    modules: list[str] = Field(
        min_length=1, description="kinds of module (query, key, value, dense ...) or all-linear"
    )


class TrainedLength(Slice):
    """What must be as in training."""

    max_length: int = Field(ge=4, description="tokens of a text at most; longer ones are cut")


class Params(Slice):
    """What the stage reads."""

    signal: SignalSection
    task: TaskSection
    score: ScoredModules
    finetune: TrainedLength
    model: ModelCode


SignalName = Literal["weight_gradient", "fisher", "gradient_spectrum", "activation_variance"]


@dataclass(frozen=True)
class SignalKind:
    """One signal of the task.

    Attributes:
        compute: Computes it; with `components` given where it is a spectrum.
        labels: Whether it learns from labels, so that the head must be warmed up first.
        spectrum: Whether every rank gets a score of its own.
    """

    compute: Callable[..., Scores]
    labels: bool
    spectrum: bool


SIGNALS: dict[SignalName, SignalKind] = {
    "weight_gradient": SignalKind(weight_gradient, labels=True, spectrum=False),
    "fisher": SignalKind(fisher, labels=True, spectrum=False),
    "gradient_spectrum": SignalKind(gradient_spectrum, labels=True, spectrum=True),
    "activation_variance": SignalKind(activation_variance, labels=False, spectrum=True),
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


def run(params: Params, name: SignalName) -> None:
    """Score data/model on rows of data/dataset's train, and write the table and its summary."""
    check_model(MODEL)
    admit_code(MODEL, trusted=params.model.trust_remote_code)
    model_sha256, store = folder_sha256(MODEL), open_store()
    key = _key(params, name, model_sha256)
    with store.held(key):
        entry = store.get(key)
        if entry is not None:
            say(f"{key.what}: taken from {store.name}")
        else:
            scores, facts = _computed(params, name)
            note = {"engine": scores.engine, "forwards": scores.forwards, "facts": facts}
            entry = of_files({"table": as_parquet(scores.table)}, note)
            store.put(key, entry)
    table = from_parquet(entry.files["table"])
    scores = Scores(table, entry.note["engine"], entry.note["forwards"])
    write_scores(name, name, scores, entry.note["facts"], model_sha256)


def _key(params: Params, name: SignalName, model_sha256: str) -> Key:
    read = params.model_dump(exclude={"signal": {"device"}})
    return make_key(
        "scores",
        f"score {name}",
        **surroundings("stages.score_task", pick_device(params.signal.device)),
        model=model_sha256,
        data=folder_sha256(DATASET, ("dataset.json", "train.parquet")),
        signal=name,
        params=read,
    )


def _computed(params: Params, name: SignalName) -> tuple[Scores, dict[str, Any]]:
    kind, section = SIGNALS[name], params.signal
    work, facts = _prepared(params, kind)
    model, batches, modules = work.headed.model, work.batches, work.modules
    uses = "text and labels" if kind.labels else "text alone"
    say(f"score: {name}, {len(modules)} modules, {facts['texts']} train rows, their {uses}")
    facts |= about_modules(modules, reapplied_blocks(model, batches[0], work.task.loss))
    if kind.labels:
        facts["warmup"] = _warmed(work, section)
    kept = {"components": section.components} if kind.spectrum else {}
    steps = len(batches) + (len(modules) if kind.spectrum else 0)
    with progress(f"score {name}", steps) as advance:
        scores = kind.compute(model, batches, modules, work.objective, advance=advance, **kept)
    return scores, facts


def _prepared(params: Params, kind: SignalKind) -> tuple[Work, dict[str, Any]]:
    section = params.signal
    device = pick_device(section.device)
    tokenizer, length = load_tokenizer(MODEL), params.finetune.max_length
    task = make_task(read_description(), tokenizer, length, options_of(params.task))
    encoded = task.encode(_sample(read_split("train"), section.rows, section.seed))
    if encoded.truncated:
        say(f"score: {encoded.truncated} rows were longer than finetune.max_length and cut")
    # Packing and what has nothing to learn from concern labels only.
    examples = task.for_training(encoded.examples) if kind.labels else encoded.examples
    headed = task.build(MODEL, section.seed)
    # transformers types its own `to` for itself alone.
    model = cast("nn.Module", headed.model).to(device)
    batches = _batches(task, examples, section.batch_size, device)
    covered = cover(model, batches, params.score.modules, task.loss)
    work = Work(task, headed, batches, list(covered.modules))
    facts = {"texts": len(encoded.examples), "texts_cut": encoded.truncated}
    return work, facts | about_coverage(covered)


def _sample(rows: pd.DataFrame, wanted: int, seed: int) -> pd.DataFrame:
    if wanted > len(rows):
        raise input_error(
            "fewer train rows than asked for",
            where="signal.rows",
            got=wanted,
            expected=f"at most {len(rows)}, the rows of {DATASET}/train.parquet",
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
Which = Annotated[
    SignalName,
    typer.Option(
        "--signal",
        help="weight_gradient, fisher and gradient_spectrum learn from labels; "
        "activation_variance looks at the texts alone. Train rows only, each of them.",
    ),
]


@app.command(epilog=describe(Params))
def main(signal: Which, params: ParamsFile = PARAMS_FILE) -> None:
    """Score modules by train rows; writes data/scores/SIGNAL.parquet and its summary."""
    with reporting(f"score-{signal}"):
        run(load(Params, params), signal)


if __name__ == "__main__":
    app()
