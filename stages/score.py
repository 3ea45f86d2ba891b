"""Score every module: how much the model's output moves when the module is disturbed.

Run: python -m stages.score
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from torch import nn

from adarank.modules import Module, find_modules
from adarank.scoring.precision import to_bfloat16
from adarank.scoring.probe import Probe, make_probe
from adarank.scoring.score import Scores, score_modules, steps
from adarank.scoring.stopping import stop_rule
from adarank.scoring.table import summary
from adarank.scoring.workers import is_first
from adarank.stacks import reapplied_blocks
from stages.checkpoint import MODEL, load_model, load_tokenizer, pick_device
from stages.cli import PARAMS_FILE, ParamsFile, reporting, say
from stages.files import folder_sha256, write_json, write_parquet
from stages.params import Slice, describe, load
from stages.probe import ProbeSection, read_texts
from stages.processes import joined_processes
from stages.progress import progress
from stages.scoring import ScoreSection, settings_of


class Params(Slice):
    """What the stage reads."""

    probe: ProbeSection
    score: ScoreSection


app = typer.Typer(add_completion=False)
Signal = Annotated[Literal["disagreement"], typer.Option(help="Which score to compute.")]


@app.command(epilog=describe(Params))
def main(params: ParamsFile = PARAMS_FILE, signal: Signal = "disagreement") -> None:
    """Score modules of data/model; writes data/scores/SIGNAL.parquet and its summary.

    Under `accelerate launch` or torchrun the processes share the work.
    """
    with reporting(f"score-{signal}", shared=True), joined_processes():
        run(load(Params, params), signal)


def run(params: Params, signal: str) -> None:
    """Score data/model on the probe and write the table and its summary."""
    section, texts = params.score, read_texts(params.probe)
    device = pick_device(section.device)
    model = load_model(MODEL, with_head=section.output == "logits").to(device)
    modules = find_modules(model, section.modules)
    probe = make_probe(
        texts,
        load_tokenizer(MODEL),
        model=model,
        max_length=params.probe.max_length,
        batch_size=section.batch_size,
        device=device,
    )
    facts = _facts(model, modules, probe, section)
    scores = _scored(model, modules, probe, section, facts)
    if is_first():
        _write(scores, facts, signal)


def _scored(
    model: nn.Module,
    modules: list[Module],
    probe: Probe,
    section: ScoreSection,
    facts: dict[str, Any],
) -> Scores:
    settings = settings_of(section)
    if section.precision == "bfloat16":
        facts["bfloat16_error"] = to_bfloat16(model, probe.batches, modules, settings)
    stop = stop_rule(section.stop.relative_error, section.stop.plan_budget)
    with progress("score", steps(settings, len(modules), len(probe.batches))) as advance:
        return score_modules(model, probe.batches, modules, settings, stop=stop, advance=advance)


def _facts(
    model: nn.Module, modules: list[Module], probe: Probe, section: ScoreSection
) -> dict[str, Any]:
    shared = {module.name: list(module.aliases) for module in modules if module.aliases}
    again = reapplied_blocks(model, probe.batches[0])
    say(f"score: {section.estimator}, {len(modules)} modules, {probe.rows} texts")
    if probe.truncated:
        say(f"score: {probe.truncated} texts were longer than probe.max_length and cut")
    if shared:
        say(f"score: {len(shared)} modules share their weight with others; scored once, together")
    for block, times in again.items():
        say(f"score: block {block} is applied {times} times; disturbed in all of them at once")
    return {
        "estimator": section.estimator,
        "texts": probe.rows,
        "texts_cut": probe.truncated,
        "shared_weights": shared,
        "reapplied_blocks": again,
    }


def _write(scores: Scores, facts: dict[str, Any], signal: str) -> None:
    say(f"score: computed by {scores.engine}")
    note = {"signal": signal, "estimator": facts["estimator"], "model_sha256": folder_sha256(MODEL)}
    write_parquet(Path(f"data/scores/{signal}.parquet"), scores.table, note)
    rows = [_plottable(row) for row in summary(scores.table).to_dict("records")]
    trials = scores.table["trial"].nunique()
    write_json(
        Path(f"metrics/scores/{signal}.json"),
        {
            **facts,
            "engine": scores.engine,
            "forwards": scores.forwards,
            "trials": trials,
            "modules": rows,
        },
    )


def _plottable(row: dict[Any, Any]) -> dict[Any, Any]:
    error = row["standard_error"]
    known = error == error
    low, high = (row["mean"] + side * error if known else row["mean"] for side in (-1.96, 1.96))
    return {**row, "standard_error": error if known else None, "low": low, "high": high}


if __name__ == "__main__":
    app()
