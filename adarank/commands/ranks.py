"""Ranks for one model, without a project: from a model and texts to a plan in PEFT's own terms."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import adarank
from adarank.allocation.allocate import allocate
from adarank.allocation.starts import start_named
from adarank.allocation.strategies.registry import find_strategy
from adarank.commands.dry_run import empty_model, expected, expected_of_weights
from adarank.commands.model_cache import model_folder
from adarank.commands.rank_json import about_coverage, about_modules, lora_options
from adarank.commands.scored_modules import BATCH, by_disturbing, by_weights, texts_read
from adarank.commands.settings import Beginning, Reading, Scoring, Sharing
from adarank.errors import InputError, Problem, input_error
from adarank.models.modules import Module
from adarank.pipeline.artifacts.model import load_tokenizer
from adarank.pipeline.artifacts.model_type import check_model_type
from adarank.pipeline.console.rank_table import show_ranks
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import folder_sha256
from adarank.pipeline.sources.kept import choose
from adarank.scoring.probe import make_probe
from adarank.scoring.table import score_table


def decide_ranks(
    reading: Reading, scoring: Scoring, sharing: Sharing, beginning: Beginning | None = None
) -> dict[str, Any]:
    """Score a model, share the budget out, and show the ranks on standard error.

    Args:
        reading: Which model and texts.
        scoring: How modules are scored.
        sharing: How the budget is shared out.
        beginning: How an adapter of these ranks begins, which is written; None: none is.

    Returns:
        The keyword arguments of LoraConfig, and under `about` where they come from: equal inputs
        give equal values, so nothing in it depends on the time or the machine's load.

    Raises:
        InputError: Anything that cannot be used as given.
        RunError: Outputs that are not finite under noise, or network and disk faults.
    """
    _check_options(reading, scoring, sharing)
    folder, origin = model_folder(
        reading.model, refresh=reading.refresh, convert_pickle=reading.convert_pickle
    )
    digest = folder_sha256(folder, _kept(folder, reading.model))
    score = by_weights if scoring.estimator == "learned" else by_disturbing
    check = partial(_refuse_early, scoring=scoring, sharing=sharing)
    scored = score(folder, reading, scoring, check)
    # Under its own name, so that no other signal's strategy takes these scores for its own.
    plan = allocate({scoring.signal: scored.table}, model_sha256=digest, **vars(sharing))
    show_ranks(plan, scored.table)
    for line in scored.lines:
        say(line)
    start = {}
    if beginning is not None:
        # Here: it takes PEFT, which ranks alone need not wait for.
        from adarank.commands.begun_adapter import write_begun

        start = {"start": write_begun(folder, plan, reading, scoring, beginning)}
    about = {
        "model": {**origin, "sha256": digest},
        "probe": scored.probe,
        "score": scored.settings,
        "coverage": about_coverage(scored.coverage),
        "plan": {**asdict(sharing), "parameters": plan.parameters, "highest_rank": plan.max_rank},
        "modules": about_modules(plan, scored.table),
        **start,
        "versions": {p.__name__: p.__version__ for p in (adarank, torch, transformers)},
    }
    return {**lora_options(plan), "about": about}


def tell_expected(reading: Reading, scoring: Scoring, sharing: Sharing) -> None:
    """Print on standard error what scoring would take, and load no weight.

    Raises:
        InputError: Options that do not go together; a config, tokenizer or probe that cannot be
            used.
    """
    _check_options(reading, scoring, sharing)
    folder, _ = model_folder(
        reading.model, refresh=reading.refresh, convert_pickle=reading.convert_pickle
    )
    check_model_type(folder)
    model = empty_model(folder, with_head=scoring.output == "logits")
    if scoring.estimator == "learned":
        say(f"dry run: learned, no texts, {expected_of_weights(model, scoring.modules).in_words()}")
        return
    texts, tokenizer, length = texts_read(reading), load_tokenizer(folder), reading.max_length
    probe = make_probe(texts, tokenizer, model=model, max_length=length, batch_size=BATCH)
    take = expected(model, probe.batches, scoring.modules, scoring.settings)
    say(f"dry run: {scoring.estimator}, {probe.rows} texts, {take.in_words()}")


def _check_options(reading: Reading, scoring: Scoring, sharing: Sharing) -> None:
    """Refuse options that the estimator does not read, and a strategy by another signal."""
    learned = scoring.estimator == "learned"
    given = {
        "--probe": reading.probe is not None,
        "--trials": scoring.trials is not None,
        "--output-compared": scoring.output != "pooled",
    }
    problems = [
        Problem(
            "the learned estimator does not read this option",
            option,
            expected="no texts, no trials: it looks at the weights alone",
            remedy=f"leave {option} out, or --estimator linearized",
        )
        for option, here in given.items()
        if learned and here
    ]
    problems += _strategy_problems(scoring, sharing)
    if problems:
        raise InputError(*problems)


def _strategy_problems(scoring: Scoring, sharing: Sharing) -> list[Problem]:
    """Find why a strategy cannot decide these ranks: its signal, or how its factors begin."""
    needed = [name for name in find_strategy(sharing.strategy).signals if name != scoring.signal]
    begun = start_named(sharing.strategy)
    if begun is not None:
        start, ranks = begun
        return [
            Problem(
                "how factors begin is an option of its own here",
                "--strategy",
                sharing.strategy,
                "a strategy that decides ranks",
                f"--strategy {ranks} --start {start} --task TABLE --adapter FOLDER",
            )
        ]
    if not needed:
        return []
    own = "sortnet" if scoring.estimator == "learned" else "disagreement"
    return [
        Problem(
            f"the signal {', '.join(needed)} was not scored",
            "--strategy",
            sharing.strategy,
            f"a strategy by {scoring.signal}, such as {own}, or by no signal",
            "--estimator learned" if needed == ["learned_order"] else f"--strategy {own}",
        )
    ]


def _refuse_early(modules: Sequence[Module], scoring: Scoring, sharing: Sharing) -> None:
    """Refuse, before the long part, a budget or bounds that no scores could make good."""
    any_scores = score_table(modules, np.arange(1.0, len(modules) + 1)[:, None])
    plan = allocate({scoring.signal: any_scores}, **vars(replace(sharing, rounding="spend_all")))
    if plan.tuner != "lora":
        raise input_error(
            "this strategy owns its training, so no ranks can be given beforehand",
            where="--strategy",
            got=sharing.strategy,
            expected="a strategy that plans ranks, such as disagreement or linear_decay",
            remedy="--strategy disagreement",
        )


def _kept(folder: Path, source: str) -> tuple[str, ...]:
    offered = [path.name for path in folder.iterdir() if path.is_file()]
    return choose(offered, convert_pickle=True, source=source).names
