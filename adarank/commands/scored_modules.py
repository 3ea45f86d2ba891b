"""Scores for the command `ranks`: by disturbing modules on texts, or by their weights alone."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from adarank.commands.rank_json import about_probe
from adarank.commands.settings import Reading, Scoring
from adarank.models.coverage import Coverage, cover
from adarank.models.modules import Module
from adarank.ordering.learned_order import learned_order
from adarank.pipeline.artifacts.model import load_model, load_tokenizer, pick_device
from adarank.pipeline.artifacts.model_type import check_model_type
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import say
from adarank.pipeline.params.probe import file_texts
from adarank.scoring.outputs import Output, check_runs, compared_output
from adarank.scoring.probe import Probe, make_probe
from adarank.scoring.score import score_modules, steps
from adarank.scoring.table import summary
from adarank.scoring.text_inputs import any_text, refuse_other_inputs

_SENTENCES = Path(__file__).parents[1] / "pipeline/builtin/sentences.txt"
# Texts: of like length, and in enough batches for the linearized estimator's standard errors.
BATCH = 8

Check = Callable[[Sequence[Module]], None]


@dataclass(frozen=True)
class ScoredModules:
    """What was scored and how.

    Attributes:
        table: The score table.
        coverage: What of the model it covers.
        probe: For the JSON: which texts were read; None for none.
        settings: For the JSON: the estimator's.
        lines: What to say of the scores, after the ranks.
    """

    table: pd.DataFrame
    coverage: Coverage
    probe: dict[str, Any] | None
    settings: dict[str, Any]
    lines: tuple[str, ...]


def by_disturbing(folder: Path, reading: Reading, scoring: Scoring, check: Check) -> ScoredModules:
    """Score modules by how much disturbing them moves the output on texts.

    Args:
        folder: The model's.
        reading: Which texts.
        scoring: How.
        check: Called with the modules before the long part.
    """
    texts = texts_read(reading)
    model, probe = _ready(folder, texts, reading, scoring.output)
    run = partial(compared_output, output=scoring.output)
    covered = _covered(model, probe.batches, scoring.modules, run)
    modules, settings = covered.modules, scoring.settings
    check(modules)
    say(f"score: {scoring.estimator}, {len(modules)} modules, {probe.rows} texts")
    with progress("score", steps(settings, len(modules), len(probe.batches))) as advance:
        table = score_modules(model, probe.batches, modules, settings, advance=advance).table
    about = {"estimator": scoring.estimator, **asdict(settings)}
    lines = (_errors(table, scoring.estimator),)
    return ScoredModules(table, covered, about_probe(texts, probe), about, lines)


def by_weights(folder: Path, reading: Reading, scoring: Scoring, check: Check) -> ScoredModules:
    """Score modules by an order learned from other models: no texts, no forward of a probe.

    The model runs on eight arbitrary tokens, to see which layers run at all.
    """
    model = _loaded(folder, reading, with_head=False)
    covered = _covered(model, any_text(model), scoring.modules)
    check(covered.modules)
    say(f"score: learned, {len(covered.modules)} modules, from their weights alone")
    with progress("score", len(covered.modules)) as advance:
        ordered = learned_order(model, covered.modules, advance=advance)
    about = {"estimator": "learned", "caveats": list(ordered.caveats)}
    lines = tuple(f"scores: {line}" for line in ordered.caveats)
    return ScoredModules(ordered.scores.table, covered, None, about, lines)


def texts_read(reading: Reading) -> list[str]:
    """Read the probe's texts, at most `reading.rows` of them."""
    path = reading.probe or _SENTENCES
    texts = file_texts(path)
    if len(texts) > reading.rows:
        say(f"probe: the first {reading.rows} of {len(texts)} texts of {path.name} (--rows)")
    return texts[: reading.rows]


def _loaded(folder: Path, reading: Reading, *, with_head: bool) -> nn.Module:
    device = pick_device(reading.device)
    if (folder / "config.json").exists():
        check_model_type(folder)
    return load_model(folder, with_head=with_head).to(device).eval()


def _ready(
    folder: Path, texts: list[str], reading: Reading, output: Output
) -> tuple[nn.Module, Probe]:
    model = _loaded(folder, reading, with_head=output == "logits")
    refuse_other_inputs(model)
    probe = make_probe(
        texts,
        load_tokenizer(folder),
        model=model,
        max_length=reading.max_length,
        batch_size=BATCH,
        device=next(model.parameters()).device,
    )
    if probe.truncated:
        say(f"probe: {probe.truncated} of {probe.rows} texts were too long and cut (--max-length)")
    check_runs(model, probe.batches[0], output)
    return model, probe


def _covered(
    model: nn.Module, batches: Sequence[Any], kinds: Sequence[str], *forward: Any
) -> Coverage:
    covered = cover(model, batches, kinds, *forward)
    for line in covered.lines():
        say(f"model: {line}")
    shared = sum(bool(module.aliases) for module in covered.modules)
    if shared:
        say(f"score: {shared} modules share their weight with others; scored once, together")
    return covered


def _errors(table: pd.DataFrame, estimator: str) -> str:
    means, trials = summary(table), len(set(table["trial"]))
    if trials == 1:
        return f"scores: {estimator}, one trial, so no standard errors (--trials)"
    relative = (means["standard_error"] / means["mean"]).fillna(0.0)
    worst = means["module"].tolist()[int(relative.to_numpy().argmax())]
    return (
        f"scores: {estimator}, {trials} trials; standard error of a module's score "
        f"{relative.median():.1%} in the median, {relative.max():.1%} at most ({worst})"
    )
