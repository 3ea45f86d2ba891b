"""Scoring the downloaded model by disturbing its modules, on any texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from adarank.errors import InputError, input_error, run_error
from adarank.models.coverage import cover
from adarank.models.form import BaseForm
from adarank.models.modules import Module
from adarank.models.stacks import reapplied_blocks
from adarank.pipeline.artifacts.model import (
    check_model,
    load_model,
    load_tokenizer,
    pick_device,
)
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.artifacts.remote_code import register_code
from adarank.pipeline.artifacts.scores import about_coverage, about_modules
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import folder_sha256
from adarank.pipeline.params.score import EstimatorName, ScoreSection
from adarank.pipeline.params.share import Share, share_problem
from adarank.pipeline.running.processes import held_by_the_first
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.scoring import kept_parts
from adarank.pipeline.scratch.store import Key, make_key, open_store
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.estimators.linearized import Linearized
from adarank.scoring.estimators.precision import to_bfloat16
from adarank.scoring.estimators.published import AsPublished
from adarank.scoring.estimators.stopping import stop_rule
from adarank.scoring.noise import Noise
from adarank.scoring.outputs import Batch, Output, check_runs, chosen_output, compared_output
from adarank.scoring.probe import make_probe
from adarank.scoring.score import Settings, score_modules, score_part, steps
from adarank.scoring.scores import Scores
from adarank.scoring.workers import my_share

Scored = tuple[Scores, str, dict[str, Any]]
"""The scores, the estimator's name, and facts for the metrics."""


@dataclass(frozen=True)
class Disturbing:
    """What is scored by how much the outputs disagree: every module of data/model.

    An interrupted run continues where it stopped: finished parts are in the scratch store.

    Attributes:
        code: The fingerprint of the code that decides the result.
        texts: The probe, one text an entry.
        max_length: Longest text, in tokens; longer ones are cut.
        section: How modules are scored.
        form: In which the model is held; its weights are scored before they are packed.
        model_sha256: The model folder's hash.
        estimator: In place of `section.estimator`.
    """

    code: str
    texts: Sequence[str]
    max_length: int
    section: ScoreSection
    form: BaseForm
    model_sha256: str
    estimator: EstimatorName | None = None

    def score(self, costs: dict[str, Any]) -> Scored:
        """Score every module.

        Args:
            costs: Gets how many finished parts lay in the store, if some did.
        """
        ready, store = _ready(self), open_store()
        if self._rounds(ready.model):
            ready.facts["bfloat16_error"] = to_bfloat16(
                ready.model, ready.batches, ready.modules, ready.settings
            )
        stop = stop_rule(self.section.stop.relative_error, self.section.stop.plan_budget)
        total = steps(ready.settings, len(ready.modules), len(ready.batches))
        held = held_by_the_first(store.held(ready.key))
        with held, kept_parts(store, ready.key) as kept, progress("score", total) as advance:
            costs |= {"parts_found": kept.found} if kept.found else {}
            scores = score_modules(
                ready.model,
                ready.batches,
                ready.modules,
                ready.settings,
                stop=stop,
                advance=advance,
                kept=kept,
            )
        return scores, ready.estimator, ready.facts

    def score_share(self, share: Share) -> None:
        """Score a share of the modules into the scratch store, where `score` then finds them.

        Raises:
            InputError: There is no scratch store, or these scores cannot be shared out.
            RunError: What was computed could not be written.
        """
        if problem := share_problem(self.section):
            raise InputError(problem)
        store = open_store()
        if not store.keeps:
            raise input_error("shares need the scratch store", where="ADARANK_SCRATCH", got="off")
        ready = _ready(self)
        assert isinstance(ready.settings, Exact)
        if self._rounds(ready.model):
            ready.model.to(torch.bfloat16)
        part = share.among(ready.modules)
        say(f"score: share {share}, {len(part)} modules")
        # Not held: other machines are at the other shares.
        with (
            kept_parts(store, ready.key, joined=False) as kept,
            progress(f"score {share}", ready.settings.trials * len(my_share(part))) as advance,
        ):
            score_part(
                ready.model,
                ready.batches,
                ready.modules,
                ready.settings,
                part,
                kept=kept,
                advance=advance,
            )
        if not store.keeps:
            what, remedy = "this share's scores could not be kept", "make room, or name another"
            raise run_error(what, where="ADARANK_SCRATCH", got=store.name, remedy=remedy)

    def _rounds(self, model: nn.Module) -> bool:
        """Whether a float32 model is scored in bfloat16.

        One that is loaded in another dtype (model.dtype) has no float32 scores to compare.
        """
        half = self.section.precision == "bfloat16"
        return half and next(model.parameters()).dtype == torch.float32


@dataclass(frozen=True)
class _Ready:
    """A loaded model and all else that scoring needs."""

    model: nn.Module
    batches: Sequence[Batch]
    modules: list[Module]
    settings: Settings
    estimator: EstimatorName
    facts: dict[str, Any]
    key: Key


def _ready(of: Disturbing) -> _Ready:
    section, form, texts = of.section, of.form, of.texts
    estimator = of.estimator or section.estimator
    model, device = load_for_scoring(section, form, with_head=section.output == "logits")
    output = chosen_output(section.output, model)
    settings = _settings(section, estimator, output)
    probe = make_probe(
        texts,
        load_tokenizer(MODEL),
        model=model,
        max_length=of.max_length,
        batch_size=section.batch_size,
        device=device,
    )
    check_runs(model, probe.batches[0], output)
    forward = partial(compared_output, output=output)
    covered = cover(model, probe.batches, section.modules, forward)
    modules = list(covered.modules)
    say(f"score: {estimator}, {len(modules)} modules, {probe.rows} texts, output {output}")
    if probe.truncated:
        say(f"score: {probe.truncated} texts were longer than probe.max_length and cut")
    facts: dict[str, Any] = {"output": output, "texts": probe.rows, "texts_cut": probe.truncated}
    facts |= about_coverage(covered)
    facts |= about_modules(model, modules, reapplied_blocks(model, probe.batches[0]))
    key = make_key(
        "scores",
        f"score {estimator}",
        **surroundings(of.code, device),
        model=of.model_sha256,
        dtype=form.dtype,
        texts=texts,
        max_length=of.max_length,
        output=output,
        estimator=estimator,
        # How many draws memory allows at once is in the parts' own names.
        score=section.model_dump(exclude={"device", "memory_gb", "output", "estimator"}),
    )
    return _Ready(model, probe.batches, modules, settings, estimator, facts, key)


def checked_model(*, trusted: bool) -> str:
    """Check data/model and register the code beside its weights; returns the folder's sha256.

    Args:
        trusted: model.trust_remote_code.

    Raises:
        InputError: There is no model, or it needs code that is not trusted.
    """
    check_model(MODEL)
    register_code(MODEL, trusted=trusted)
    return folder_sha256(MODEL)


def load_for_scoring(
    section: ScoreSection, form: BaseForm, *, with_head: bool = False
) -> tuple[nn.Module, torch.device]:
    """Load data/model where it is scored.

    Returns:
        The model, and the device that its inputs go to: of one that accelerate spread over all
        GPUs, the first.
    """
    if section.device != "sharded":
        device = pick_device(section.device)
        return load_model(MODEL, with_head=with_head, form=form).to(device), device
    pick_device("cuda:0")
    model = load_model(MODEL, with_head=with_head, form=form, sharded=True)
    return model, next(model.parameters()).device


def _settings(section: ScoreSection, estimator: EstimatorName, output: Output) -> Settings:
    """Turn the section into the settings of an estimator that compares this output."""
    noise = Noise(section.noise.scale, section.noise.relative_to, section.noise.bias)
    seed = section.seed
    settings: dict[str, Settings] = {
        "exact": Exact(
            trials=section.trials,
            noise=noise,
            output=output,
            distance=section.distance,
            pairs=section.pairs,
            reference=section.reference,
            seed=seed,
            memory_gb=section.memory_gb,
        ),
        "linearized": Linearized(section.sketches, noise, output, seed),
        "as_published": AsPublished(section.trials, noise, output, seed, section.memory_gb),
    }
    return settings[estimator]
