"""Scoring the downloaded model by disturbing its modules, on any texts."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from torch import nn

from adarank.models.modules import Module, find_modules
from adarank.models.stacks import reapplied_blocks
from adarank.pipeline.artifacts.model import MODEL, load_model, load_tokenizer, pick_device
from adarank.pipeline.artifacts.scores import about_modules
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import say
from adarank.pipeline.params.score import EstimatorName, ScoreSection, settings_of
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.scoring import kept_parts
from adarank.pipeline.scratch.store import Key, make_key, open_store
from adarank.scoring.estimators.precision import to_bfloat16
from adarank.scoring.estimators.stopping import stop_rule
from adarank.scoring.outputs import chosen_output
from adarank.scoring.probe import Probe, make_probe
from adarank.scoring.score import Settings, score_modules, steps
from adarank.scoring.scores import Scores
from adarank.scoring.workers import is_first

Scored = tuple[Scores, str, dict[str, Any]]
"""The scores, the estimator's name, and facts for the metrics."""


def score_by_disturbing(
    stage: str,
    texts: Sequence[str],
    max_length: int,
    section: ScoreSection,
    model_sha256: str,
    estimator: EstimatorName | None = None,
) -> Scored:
    """Score every module of data/model by how much the outputs disagree.

    An interrupted run continues where it stopped: finished parts are in the scratch store.

    Args:
        stage: The stage's module, whose code decides the result.
        texts: The probe, one text an entry.
        max_length: Longest text, in tokens; longer ones are cut.
        section: How modules are scored.
        model_sha256: The model folder's hash.
        estimator: In place of `section.estimator`.
    """
    estimator = estimator or section.estimator
    device = pick_device(section.device)
    model = load_model(MODEL, with_head=section.output == "logits").to(device)
    output = chosen_output(section.output, model)
    settings = settings_of(section, estimator, output)
    modules = find_modules(model, section.modules)
    probe = make_probe(
        texts,
        load_tokenizer(MODEL),
        model=model,
        max_length=max_length,
        batch_size=section.batch_size,
        device=device,
    )
    say(f"score: {estimator}, {len(modules)} modules, {probe.rows} texts, output {output}")
    if probe.truncated:
        say(f"score: {probe.truncated} texts were longer than probe.max_length and cut")
    facts = {"output": output, "texts": probe.rows, "texts_cut": probe.truncated}
    facts |= about_modules(modules, reapplied_blocks(model, probe.batches[0]))
    key = make_key(
        "scores",
        f"score {estimator}",
        **surroundings(stage, device),
        model=model_sha256,
        texts=texts,
        max_length=max_length,
        output=output,
        estimator=estimator,
        # How many draws memory allows at once is in the parts' own names.
        score=section.model_dump(exclude={"device", "memory_gb", "output", "estimator"}),
    )
    return _scored(model, modules, probe, section, settings, facts, key), estimator, facts


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
