"""Scores for any loaded transformers model: the estimators behind one door."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, TypeVar

import pandas as pd
from torch import nn
from transformers import PreTrainedTokenizerBase

from adarank.errors import InputError, Problem, input_error
from adarank.models.coverage import cover
from adarank.models.modules import Module, resolve
from adarank.models.plain import check_plain
from adarank.models.stacks import base_model
from adarank.scoring.estimators.exact import Exact, Stop, exact, exact_part
from adarank.scoring.estimators.linearized import Linearized, linearized
from adarank.scoring.estimators.published import AsPublished, as_published
from adarank.scoring.kept import Kept
from adarank.scoring.noise import global_deviation
from adarank.scoring.outputs import Batch, check_runs, compared_output
from adarank.scoring.probe import make_probe
from adarank.scoring.scores import Scores
from adarank.scoring.workers import my_share

Settings = Exact | Linearized | AsPublished
S = TypeVar("S", bound=Settings)
_WORTH_A_WARNING = 0.01
ESTIMATORS: dict[str, type[Settings]] = {
    "exact": Exact,
    "linearized": Linearized,
    "as_published": AsPublished,
}


def score(
    model: nn.Module,
    probe: Sequence[str] | Sequence[Batch],
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    modules: Sequence[str] = ("all-linear",),
    estimator: str = "exact",
    max_length: int = 128,
    batch_size: int = 32,
    **settings: Any,
) -> pd.DataFrame:
    """Score every adaptable module of a loaded model: how much disturbing it moves the output.

    Args:
        model: Any transformers model, on the device to use. Under a task's head, which may be new
            and random, the base model is what is compared, unless `output` is `logits`.
        probe: Texts (with `tokenizer`), or batches of ready inputs for the model.
        tokenizer: The model's own, where the probe is texts.
        modules: Kinds to score, or `all-linear`.
        estimator: `exact` (the paper's, Dong 2024, arXiv 2408.09015), `linearized` (one backward
            for all modules) or `as_published` (the released notebook's, faults included).
        max_length: Longest text in tokens.
        batch_size: Texts per batch.
        **settings: Fields of Exact, Linearized or AsPublished: trials, noise, output, seed ...

    Returns:
        A row per module and trial: module, block, kind, d_in, d_out, parameters_per_rank, trial,
        score. A module's score is its mean over trials.

    Raises:
        InputError: An unknown estimator, setting or kind; an empty probe, or one that is a single
            text; texts without a tokenizer; a model that is compiled, wrapped, quantised or
            offloaded, or that cannot read the texts.
        RunError: Outputs that are not finite under noise.

    Warns:
        UserWarning: Linear modules that are left out, because they did not run on the probe, PEFT
            does not adapt them or no gradient reaches them; and weights of the blocks that no
            plan covers, from 1 % of them on.

    Example:
        A random BERT of two blocks, scored on batches of token ids, which need no tokenizer:

        >>> import torch
        >>> from transformers import BertConfig, BertModel
        >>> model = BertModel(BertConfig(
        ...     vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        ...     intermediate_size=16,
        ... ))
        >>> batch = {"input_ids": torch.tensor([[2, 7, 11, 3], [2, 5, 13, 3]])}
        >>> scores = score(model, [batch], modules=["query", "value"], trials=3)
        >>> len(scores), scores["module"].nunique()
        (12, 4)
        >>> list(scores.columns[:5])
        ['module', 'block', 'kind', 'd_in', 'd_out']
        >>> bool((scores["score"] >= 0).all())
        True
    """
    _check_arguments(probe, tokenizer, modules, estimator, settings)
    check_plain(model)
    if settings.get("output") != "logits":
        model = base_model(model)[1]
    device = next(model.parameters()).device
    batches = _batches(model, probe, tokenizer, max_length, batch_size, device)
    chosen = ESTIMATORS[estimator](**settings)
    check_runs(model, batches[0], chosen.output)
    covered = cover(model, batches, modules, partial(compared_output, output=chosen.output))
    for part in covered.left_out:
        if part.linear or part.share >= _WORTH_A_WARNING:
            warnings.warn(str(part), stacklevel=2)
    return score_modules(model, batches, covered.modules, chosen).table


def score_modules(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    settings: Settings,
    *,
    stop: Stop | None = None,
    advance: Callable[[], None] = lambda: None,
    kept: Kept | None = None,
) -> Scores:
    """Score modules with the estimator that the settings belong to.

    Args:
        model: A transformers model; its weights are left as they were.
        batches: The probe.
        modules: What to score.
        settings: Exact, Linearized or AsPublished.
        stop: Ends the exact estimator early; see `exact`.
        advance: Called as work is done, `steps` times in all.
        kept: Has what an interrupted run had finished; the scores are the same bit for bit.
    """
    settings = _with_global_noise(model, modules, settings)
    if isinstance(settings, Exact):
        result = exact(model, batches, modules, settings, stop=stop, advance=advance, kept=kept)
        draws = result.trials * (2 if settings.reference == "perturbed" else 1)
        return Scores(result.table, result.engine, draws * len(modules) * len(batches))
    if isinstance(settings, Linearized):
        table = linearized(model, batches, modules, settings, advance=advance, kept=kept)
        return Scores(table, "backward", settings.sketches * len(batches))
    table = as_published(model, batches, modules, settings, advance=advance, kept=kept)
    return Scores(table, "full forwards", settings.trials * len(modules) * len(batches))


def score_part(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    settings: Exact,
    part: Sequence[Module],
    *,
    kept: Kept,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Score some of the modules into `kept`, where `score_modules` then finds them.

    Args:
        model: A transformers model; its weights are left as they were.
        batches: The probe.
        modules: All that is to be scored.
        settings: Of the exact estimator.
        part: Those of the modules that are scored here.
        kept: Gets their scores.
        advance: Called after each (module, trial).
    """
    settings = _with_global_noise(model, modules, settings)
    exact_part(model, batches, modules, settings, part, kept=kept, advance=advance)


def steps(settings: Settings, n_modules: int, n_batches: int) -> int:
    """Count how often `advance` is called in this process: the length of a progress bar."""
    if isinstance(settings, Linearized):
        return len(my_share(range(settings.sketches * n_batches)))
    if isinstance(settings, Exact):
        return settings.trials * len(my_share(range(n_modules)))
    return settings.trials * n_modules


def _check_arguments(
    probe: object, tokenizer: object, modules: object, estimator: str, settings: Mapping[str, Any]
) -> None:
    """Refuse arguments of the wrong type, and settings that the estimator has not."""
    problems: list[Problem] = []
    for name, value in (("probe", probe), ("modules", modules)):
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
            got = f"a single {type(value).__name__}"
            remedy = f"{name}: [...], a list even of one"
            problems.append(Problem("not a list", name, got, "a list or a tuple", remedy))
    if not (tokenizer is None or callable(tokenizer)):
        got, expected = type(tokenizer).__name__, "the model's tokenizer, loaded"
        remedy = "AutoTokenizer.from_pretrained(...) gives it"
        problems.append(Problem("not a tokenizer", "tokenizer", got, expected, remedy))
    if estimator not in ESTIMATORS:
        names = f"one of {', '.join(ESTIMATORS)}"
        problems.append(Problem("unknown estimator", "estimator", estimator, names))
    else:
        known = [field.name for field in fields(ESTIMATORS[estimator])]
        problems += [
            Problem(
                f"the estimator {estimator} has no such setting",
                name,
                value,
                f"some of: {', '.join(known)}",
                "leave it out",
            )
            for name, value in settings.items()
            if name not in known
        ]
    if problems:
        raise InputError(*problems)


def _with_global_noise(model: nn.Module, modules: Sequence[Module], settings: S) -> S:
    if settings.noise.relative_to != "global":
        return settings
    layers = [model.get_submodule(resolve(model, module.name)) for module in modules]
    scale = settings.noise.scale * global_deviation(layers)
    return replace(settings, noise=replace(settings.noise, scale=scale, relative_to="absolute"))


def _batches(
    model: nn.Module,
    probe: Sequence[str] | Sequence[Batch],
    tokenizer: PreTrainedTokenizerBase | None,
    max_length: int,
    batch_size: int,
    device: Any,
) -> Sequence[Batch]:
    if len(probe) and all(isinstance(part, Mapping) for part in probe):
        ready = [part for part in probe if not isinstance(part, str)]
        return [{name: values.to(device) for name, values in part.items()} for part in ready]
    if tokenizer is None:
        raise input_error(
            "texts need the model's tokenizer",
            where="tokenizer",
            remedy="score(model, texts, tokenizer)",
        )
    strange = next((text for text in probe if not isinstance(text, str)), None)
    if strange is not None:
        raise input_error(
            "not a text",
            where="probe",
            got=f"{type(strange).__name__}: {strange}",
            expected="texts (str), or mappings of tensors, all of them",
        )
    texts = [str(text) for text in probe]
    return make_probe(
        texts,
        tokenizer,
        model=model,
        max_length=max_length,
        batch_size=batch_size,
        device=device,
    ).batches
