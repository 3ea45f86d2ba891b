"""Score every module by the model alone: how much its output moves when a module is disturbed.

Run: python -m stages.score --signal disagreement
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Annotated, Any, Literal

import typer
from pydantic import Field
from torch import nn

from adarank.errors import input_error
from adarank.models.coverage import cover
from adarank.models.modules import Module
from adarank.models.stacks import reapplied_blocks
from adarank.pipeline.artifacts.model import (
    MODEL,
    check_model,
    load_model,
    load_tokenizer,
    pick_device,
)
from adarank.pipeline.artifacts.remote_code import ModelCode, admit_code
from adarank.pipeline.artifacts.scores import about_coverage, about_modules, write_scores
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import folder_sha256
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.probe import ProbeSection, read_texts
from adarank.pipeline.params.score import EstimatorName, ScoreSection, settings_of
from adarank.pipeline.running.processes import joined_processes
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.scoring import kept_parts
from adarank.pipeline.scratch.store import Key, make_key, open_store
from adarank.scoring.estimators.precision import to_bfloat16
from adarank.scoring.estimators.stopping import stop_rule
from adarank.scoring.outputs import Output, check_runs, compared_output
from adarank.scoring.probe import Probe, make_probe
from adarank.scoring.score import Settings, score_modules, steps
from adarank.scoring.scores import Scores
from adarank.scoring.signals.stable_rank import stable_rank
from adarank.scoring.text_inputs import any_text
from adarank.scoring.workers import is_first
from adarank.tasks.catalogue import TASKS


class DatasetTask(Slice):
    """What score.output: auto asks of the dataset."""

    task: str = Field(description=f"what is learned: {', '.join(TASKS)}; decides score.output auto")


class Params(Slice):
    """What the stage reads."""

    dataset: DatasetTask
    probe: ProbeSection
    score: ScoreSection
    model: ModelCode


SignalName = Literal["disagreement", "linearized", "as_published", "stable_rank"]
Scored = tuple[Scores, str, dict[str, Any]]


def run(params: Params, signal: SignalName) -> None:
    """Score data/model and write the table and its summary.

    Args:
        params: What the stage reads.
        signal: Which score to compute.
    """
    check_model(MODEL)
    admit_code(MODEL, trusted=params.model.trust_remote_code)
    model_sha256 = folder_sha256(MODEL)
    scores, estimator, facts = SIGNALS[signal](params, model_sha256)
    if is_first():
        write_scores(signal, estimator, scores, facts, model_sha256)


def compared(wanted: str, task: str) -> Output:
    """Decide which output is compared.

    Args:
        wanted: score.output.
        task: dataset.task, whose head's input is compared where that is `auto`.

    Raises:
        InputError: `auto`, and no such task.
    """
    outputs: dict[str, Output] = {name: name for name in ("pooled", "logits", "last_hidden")}
    if wanted in outputs:
        return outputs[wanted]
    if task not in TASKS:
        raise input_error(
            "no such task, so there is no output to choose by it",
            where="dataset.task",
            got=task,
            expected=f"one of: {', '.join(TASKS)}",
            remedy="mend dataset.task, or name the output itself in score.output",
        )
    return TASKS[task].output


def _by_disturbing(params: Params, model_sha256: str, estimator: EstimatorName | None) -> Scored:
    section = params.score
    output = compared(section.output, params.dataset.task)
    estimator = estimator or section.estimator
    settings = settings_of(section, estimator, output)
    texts, device = read_texts(params.probe), pick_device(section.device)
    model = load_model(MODEL, with_head=output == "logits").to(device)
    probe = make_probe(
        texts,
        load_tokenizer(MODEL),
        model=model,
        max_length=params.probe.max_length,
        batch_size=section.batch_size,
        device=device,
    )
    check_runs(model, probe.batches[0], output)
    run = partial(compared_output, output=output)
    covered = cover(model, probe.batches, section.modules, run)
    modules = list(covered.modules)
    say(f"score: {estimator}, {len(modules)} modules, {probe.rows} texts, output {output}")
    facts = {"output": output, **_about_probe(probe), **about_coverage(covered)}
    facts |= _about_modules(model, modules, probe)
    key = make_key(
        "scores",
        f"score {estimator}",
        **surroundings("stages.score", device),
        model=model_sha256,
        texts=texts,
        max_length=params.probe.max_length,
        output=output,
        estimator=estimator,
        # How many draws memory allows at once is in the parts' own names.
        score=section.model_dump(exclude={"device", "memory_gb", "output", "estimator"}),
    )
    return _scored(model, modules, probe, section, settings, facts, key), estimator, facts


def _by_weights(params: Params, model_sha256: str) -> Scored:  # noqa: ARG001 -- takes seconds
    section = params.score
    model = load_model(MODEL).to(pick_device(section.device))
    covered = cover(model, any_text(model), section.modules)
    modules = list(covered.modules)
    say(f"score: stable_rank, {len(modules)} modules, from their weights alone")
    with progress("score", len(modules)) as advance:
        scores = stable_rank(model, modules, advance=advance)
    return scores, "stable_rank", {**about_coverage(covered), **about_modules(modules)}


SIGNALS: dict[SignalName, Callable[[Params, str], Scored]] = {
    "disagreement": partial(_by_disturbing, estimator=None),
    "linearized": partial(_by_disturbing, estimator="linearized"),
    "as_published": partial(_by_disturbing, estimator="as_published"),
    "stable_rank": _by_weights,
}


def _scored(
    model: nn.Module,
    modules: list[Module],
    probe: Probe,
    section: ScoreSection,
    settings: Settings,
    facts: dict[str, Any],
    key: Key,
) -> Scores:
    if section.precision == "bfloat16":
        facts["bfloat16_error"] = to_bfloat16(model, probe.batches, modules, settings)
    stop = stop_rule(section.stop.relative_error, section.stop.plan_budget)
    total, store = steps(settings, len(modules), len(probe.batches)), open_store()
    # Processes that share the work must not wait for each other here.
    held = store.held(key) if is_first() else nullcontext()
    with held, kept_parts(store, key) as kept, progress("score", total) as advance:
        return score_modules(
            model, probe.batches, modules, settings, stop=stop, advance=advance, kept=kept
        )


def _about_probe(probe: Probe) -> dict[str, Any]:
    if probe.truncated:
        say(f"score: {probe.truncated} texts were longer than probe.max_length and cut")
    return {"texts": probe.rows, "texts_cut": probe.truncated}


def _about_modules(model: nn.Module, modules: list[Module], probe: Probe) -> dict[str, Any]:
    return about_modules(modules, reapplied_blocks(model, probe.batches[0]))


app = typer.Typer(add_completion=False)
Signal = Annotated[
    SignalName,
    typer.Option(
        help="disagreement, by score.estimator; linearized or as_published, whatever that says; "
        "stable_rank, from the weights alone",
    ),
]


@app.command(epilog=describe(Params))
def main(params: ParamsFile = PARAMS_FILE, signal: Signal = "disagreement") -> None:
    """Score modules of data/model; writes data/scores/SIGNAL.parquet and its summary.

    Under `accelerate launch` or torchrun the processes share the work.
    """
    with reporting(f"score-{signal}", shared=True), joined_processes():
        run(load(Params, params), signal)


if __name__ == "__main__":
    app()
