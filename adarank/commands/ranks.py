"""Ranks for one model, without a project: from a model and texts to a plan in PEFT's own terms."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from torch import nn

import adarank
from adarank.allocation.allocate import allocate
from adarank.allocation.scale import Scale
from adarank.commands.dry_run import empty_model, expected
from adarank.commands.model_cache import model_folder
from adarank.commands.rank_json import about_coverage, about_modules, about_probe, lora_options
from adarank.errors import input_error
from adarank.models.coverage import cover
from adarank.models.modules import Module
from adarank.pipeline.artifacts.model import load_model, load_tokenizer, pick_device
from adarank.pipeline.artifacts.model_type import check_model_type
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.rank_table import show_ranks
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import folder_sha256
from adarank.pipeline.params.probe import file_texts
from adarank.pipeline.sources.kept import choose
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.estimators.linearized import Linearized
from adarank.scoring.noise import Noise
from adarank.scoring.outputs import Output, check_runs, compared_output
from adarank.scoring.probe import Probe, make_probe
from adarank.scoring.score import Settings, score_modules, steps
from adarank.scoring.scores import Scores
from adarank.scoring.table import score_table, summary
from adarank.scoring.text_inputs import refuse_other_inputs

_SENTENCES = Path(__file__).parents[1] / "pipeline/builtin/sentences.txt"
# Texts: of like length, and in enough batches for the linearized estimator's standard errors.
_BATCH = 8


@dataclass(frozen=True)
class Reading:
    """Which model reads which texts, and where.

    Attributes:
        model: A folder, or a source of the download stage.
        probe: A file with a text a line, or a table with a column text; None: the built-in
            sentences.
        rows: Most texts used, from the file's first on.
        max_length: Longest text in tokens.
        device: `auto`, `cpu` or `cuda`.
        refresh: Whether a cached source is fetched again.
        convert_pickle: Whether pickled weights of a source may be converted.
    """

    model: str
    probe: Path | None
    rows: int
    max_length: int
    device: str
    refresh: bool
    convert_pickle: bool


@dataclass(frozen=True)
class Scoring:
    """How modules are scored.

    Attributes:
        modules: Their kinds, or all-linear.
        estimator: `exact` or `linearized`.
        trials: Trials of the exact estimator, sketches of the linearized one; None: its default.
        noise: Scale of the noise, in standard deviations of a module's weight.
        output: The compared output.
        seed: Decides every draw.
    """

    modules: Sequence[str]
    estimator: str
    trials: int | None
    noise: float
    output: Output
    seed: int

    @property
    def settings(self) -> Settings:
        """The estimator's own settings."""
        noise = Noise(self.noise)
        if self.estimator == "exact":
            return Exact(self.trials or 5, noise, self.output, seed=self.seed)
        return Linearized(self.trials or 1, noise, self.output, self.seed)


@dataclass(frozen=True)
class Sharing:
    """How a budget is shared out; see `adarank.allocation.allocate`."""

    budget: float
    strategy: str
    rounding: str
    min_rank: int
    max_rank: int | None
    scale: Scale
    seed: int


def decide_ranks(reading: Reading, scoring: Scoring, sharing: Sharing) -> dict[str, Any]:
    """Score a model, share the budget out, and show the ranks on standard error.

    Returns:
        The keyword arguments of LoraConfig, and under `about` where they come from: equal inputs
        give equal values, so nothing in it depends on the time or the machine's load.

    Raises:
        InputError: Anything that cannot be used as given.
        RunError: Outputs that are not finite under noise, or network and disk faults.
    """
    folder, origin = model_folder(
        reading.model, refresh=reading.refresh, convert_pickle=reading.convert_pickle
    )
    digest = folder_sha256(folder, _kept(folder, reading.model))
    texts = _texts(reading)
    model, probe = _ready(folder, texts, reading, scoring.output)
    run = partial(compared_output, output=scoring.output)
    covered = cover(model, probe.batches, scoring.modules, run)
    modules = covered.modules
    for line in covered.lines():
        say(f"model: {line}")
    _refuse_early(modules, sharing)
    scores = _scored(model, probe, modules, scoring)
    # Under its own name, so that no other signal's strategy takes these scores for its own.
    plan = allocate({"disagreement": scores.table}, model_sha256=digest, **vars(sharing))
    show_ranks(plan, scores.table)
    _tell_errors(scores.table, scoring)
    about = {
        "model": {**origin, "sha256": digest},
        "probe": about_probe(texts, probe),
        "score": {"estimator": scoring.estimator, **asdict(scoring.settings)},
        "coverage": about_coverage(covered),
        "plan": {**asdict(sharing), "parameters": plan.parameters, "highest_rank": plan.max_rank},
        "modules": about_modules(plan, scores.table),
        "versions": {p.__name__: p.__version__ for p in (adarank, torch, transformers)},
    }
    return {**lora_options(plan), "about": about}


def tell_expected(reading: Reading, scoring: Scoring) -> None:
    """Say on standard error what scoring would take, and load no weight.

    Raises:
        InputError: A config, tokenizer or probe that cannot be used.
    """
    folder, _ = model_folder(
        reading.model, refresh=reading.refresh, convert_pickle=reading.convert_pickle
    )
    check_model_type(folder)
    model = empty_model(folder, with_head=scoring.output == "logits")
    length, tokenizer = reading.max_length, load_tokenizer(folder)
    probe = make_probe(
        _texts(reading), tokenizer, model=model, max_length=length, batch_size=_BATCH
    )
    take = expected(model, probe.batches, scoring.modules, scoring.settings)
    say(f"dry run: {scoring.estimator}, {probe.rows} texts, {take.in_words()}")


def _texts(reading: Reading) -> list[str]:
    path = reading.probe or _SENTENCES
    texts = file_texts(path)
    if len(texts) > reading.rows:
        say(f"probe: the first {reading.rows} of {len(texts)} texts of {path.name} (--rows)")
    return texts[: reading.rows]


def _ready(
    folder: Path, texts: list[str], reading: Reading, output: Output
) -> tuple[nn.Module, Probe]:
    device = pick_device(reading.device)
    if (folder / "config.json").exists():
        check_model_type(folder)
    model = load_model(folder, with_head=output == "logits").to(device).eval()
    refuse_other_inputs(model)
    tokenizer, length = load_tokenizer(folder), reading.max_length
    probe = make_probe(
        texts, tokenizer, model=model, max_length=length, batch_size=_BATCH, device=device
    )
    if probe.truncated:
        say(f"probe: {probe.truncated} of {probe.rows} texts were too long and cut (--max-length)")
    check_runs(model, probe.batches[0], output)
    return model, probe


def _refuse_early(modules: Sequence[Module], sharing: Sharing) -> None:
    """Refuse, before the long part, a budget or bounds that no scores could make good."""
    any_scores = score_table(modules, np.arange(1.0, len(modules) + 1)[:, None])
    plan = allocate({"disagreement": any_scores}, **vars(replace(sharing, rounding="spend_all")))
    if plan.tuner != "lora":
        raise input_error(
            "this strategy owns its training, so no ranks can be given beforehand",
            where="--strategy",
            got=sharing.strategy,
            expected="a strategy that plans ranks, such as disagreement or linear_decay",
            remedy="--strategy disagreement",
        )


def _scored(model: nn.Module, probe: Probe, modules: Sequence[Module], scoring: Scoring) -> Scores:
    settings = scoring.settings
    say(f"score: {scoring.estimator}, {len(modules)} modules, {probe.rows} texts")
    shared = sum(bool(module.aliases) for module in modules)
    if shared:
        say(f"score: {shared} modules share their weight with others; scored once, together")
    with progress("score", steps(settings, len(modules), len(probe.batches))) as advance:
        return score_modules(model, probe.batches, modules, settings, advance=advance)


def _kept(folder: Path, source: str) -> tuple[str, ...]:
    offered = [path.name for path in folder.iterdir() if path.is_file()]
    return choose(offered, convert_pickle=True, source=source).names


def _tell_errors(table: pd.DataFrame, scoring: Scoring) -> None:
    means, trials = summary(table), len(set(table["trial"]))
    if trials == 1:
        say(f"scores: {scoring.estimator}, one trial, so no standard errors (--trials)")
        return
    relative = (means["standard_error"] / means["mean"]).fillna(0.0)
    worst = means["module"].tolist()[int(relative.to_numpy().argmax())]
    say(
        f"scores: {scoring.estimator}, {trials} trials; standard error of a module's score "
        f"{relative.median():.1%} in the median, {relative.max():.1%} at most ({worst})"
    )
