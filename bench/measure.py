"""Every figure of the benchmark, from interleaved runs on one model or on several depths."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from adarank.models.modules import Module
from adarank.scoring.engines.proof import proven_engine
from adarank.scoring.estimators.disagreement import disagreement
from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.estimators.linearized import Linearized, linearized
from adarank.scoring.outputs import Batch, compared_output
from bench.agreement import module_means, spearman, total_variation
from bench.converged import Converged
from bench.corrected import corrected, few_draws, with_whole_gradients
from bench.rivals import gradient_times_weight, one_at_a_time
from bench.subjects import Subject, of_blocks, random_like
from bench.timing import Timed, interleaved

PAPER_TRIALS = 5
LOOP = "the paper's loop"
EXACT = "exact"
LINEARIZED = "linearized"
WHOLE_GRADIENTS = "linearized, whole gradients"
CORRECTED = "linearized, corrected"
FEW = "exact, few texts and draws"
ONE = "one at a time"
PROOF = "exact's first check"
GRADIENT = "gradient x weight"
FORWARD = "one forward"
WHOLE = "one forward, all texts in one batch"


@dataclass(frozen=True)
class Effort:
    """How much is run.

    Attributes:
        rows: Texts of the probe.
        batch_size: Texts per batch.
        dear: Rounds of what takes many seconds.
        cheap: Rounds of what takes about a second.
        trials: Of the converged exact score.
        depths: Blocks of the random models; growth is from the first to the last.
    """

    rows: int = 32
    batch_size: int = 8
    dear: int = 2
    cheap: int = 5
    trials: int = 40
    depths: tuple[int, ...] = (6, 24)


@dataclass(frozen=True)
class Method:
    """One method on one model.

    Attributes:
        seconds: Median wall time, scaled to all modules and, for the loop, to PAPER_TRIALS.
        forwards: The same in forwards of the probe.
        speedup: The paper's loop's seconds over these.
        equal_error: Speedup at equal standard error of the score, where it estimates the same.
        distance: Total variation between its shares and the converged exact score's.
        order: Spearman correlation with that score.
    """

    seconds: float
    forwards: float
    speedup: float
    equal_error: float | None = None
    distance: float | None = None
    order: float | None = None


def timed_methods(subject: Subject, effort: Effort) -> dict[str, Timed]:
    """Run every method on a subject, in two interleavings: the dear ones, the cheap ones.

    The loop runs one trial a round, round k with seed k; its cost is a sum over trials.
    """
    dear = {
        LOOP: lambda k: _loop(subject, subject.modules, k),
        EXACT: lambda k: _exact(subject, subject.modules, Exact(seed=k)),
        ONE: lambda k: one_at_a_time(subject, k),
    }
    cheap = {
        FORWARD: lambda _: _forward(subject, subject.batches),
        WHOLE: lambda _: _forward(subject, [subject.whole]),
        LINEARIZED: lambda k: _linearized(subject, k),
        WHOLE_GRADIENTS: lambda k: with_whole_gradients(subject, k),
        CORRECTED: lambda k: corrected(subject, k),
        FEW: lambda k: few_draws(subject, k),
        GRADIENT: lambda _: gradient_times_weight(subject),
    }
    return interleaved(dear, effort.dear) | interleaved(cheap, effort.cheap, warm=True)


def methods(timed: dict[str, Timed], reference: Converged) -> dict[str, Method]:
    """Turn the times and scores of `timed_methods` into the table's rows.

    Agreement is the mean over rounds, each a run of its own seed, of one run's agreement.
    """
    loop = PAPER_TRIALS * timed[LOOP].median
    found: dict[str, Method] = {}
    for name, task in timed.items():
        if name in (FORWARD, WHOLE):
            continue
        seconds = loop if name == LOOP else task.median
        plain = Method(seconds, seconds / timed[FORWARD].median, loop / seconds)
        for distance, scores in _scores(task.results).items():
            found[name + distance] = _with_agreement(plain, scores, reference)
    # A round of the loop is a single trial: its agreement is not that of the mean of five.
    found[LOOP] = replace(found[LOOP], equal_error=1.0, distance=None, order=None)
    found[EXACT] = replace(found[EXACT], equal_error=found[EXACT].speedup * fewer(reference))
    return found


def _with_agreement(method: Method, scores: Sequence[np.ndarray], reference: Converged) -> Method:
    return replace(
        method,
        distance=float(np.mean([total_variation(one, reference.scores) for one in scores])),
        order=float(np.mean([spearman(one, reference.scores) for one in scores])),
    )


def _scores(results: Sequence[Any]) -> dict[str, list[np.ndarray]]:
    if isinstance(results[0], dict):
        return {f", {name}": [one[name] for one in results] for name in results[0]}
    if isinstance(results[0], pd.DataFrame):
        return {"": [module_means(table) for table in results]}
    return {"": list(results)}


def fewer(reference: Converged) -> float:
    """Divide the loop's squared standard error by exact's, each at its own number of trials."""
    return reference.disjoint_variance(PAPER_TRIALS) / reference.all_pairs_variance(Exact().trials)


def exact_error(subject: Subject, loops: Timed) -> float:
    """Find the largest relative difference of any (module, trial) from the loop's, same draws."""
    worst = 0.0
    for seed, plain in enumerate(loops.results):
        settings = Exact(trials=1, pairs="disjoint", seed=seed)
        found = _exact(subject, subject.modules, settings)["score"].to_numpy()
        wanted = plain["score"].to_numpy()
        worst = max(worst, float(np.max(np.abs(found - wanted) / wanted)))
    return worst


def depth_times(subject: Subject, effort: Effort) -> dict[int, dict[str, float]]:
    """Time forward and linearized on random models of several depths, all in turns.

    Returns:
        By depth: median seconds of FORWARD and LINEARIZED.
    """
    deep = {n: random_like(subject, n) for n in effort.depths}
    tasks = {f"{FORWARD} {n}": partial(_forward_round, model) for n, model in deep.items()}
    tasks |= {f"{LINEARIZED} {n}": partial(_linearized, model) for n, model in deep.items()}
    timed = interleaved(tasks, effort.cheap, warm=True)
    return {
        n: {name: timed[f"{name} {n}"].median for name in (FORWARD, LINEARIZED)}
        for n in effort.depths
    }


def deep_methods(
    subject: Subject, times: dict[str, float], ratio: float, effort: Effort
) -> dict[str, Method]:
    """Time the loop and exact on part of a deep model's modules, and scale to all of them.

    The loop costs the same at every block, so it is timed on the middle one. Exact's cost, its
    first check apart, falls evenly with depth: two blocks, as far from the input as from the
    output, stand for all.

    Args:
        subject: A deep random model.
        times: Its times from `depth_times`.
        ratio: Squared standard error of the loop over exact's, as on the default model.
        effort: See Effort.
    """
    n = subject.n_blocks
    middle, pair = of_blocks(subject, [n // 2]), of_blocks(subject, [n // 4, n - 1 - n // 4])
    tasks = {
        LOOP: lambda k: _loop(subject, middle, k),
        EXACT: lambda k: _exact(subject, pair, Exact(seed=k)),
        PROOF: lambda k: _proof(subject, pair, k),
    }
    timed = interleaved(tasks, max(1, effort.dear // 2))
    loop, check = PAPER_TRIALS * timed[LOOP].median * n, timed[PROOF].median
    fast = check + (timed[EXACT].median - check) * n / len({m.block for m in pair})
    linear, unit = times[LINEARIZED], times[FORWARD]
    return {
        LOOP: Method(loop, loop / unit, 1.0, 1.0),
        EXACT: Method(fast, fast / unit, loop / fast, loop / fast * ratio),
        LINEARIZED: Method(linear, linear / unit, loop / linear),
    }


def _loop(subject: Subject, modules: Sequence[Module], seed: int) -> pd.DataFrame:
    return disagreement(subject.model, subject.batches, modules, trials=1, seed=seed)


def _exact(subject: Subject, modules: Sequence[Module], settings: Exact) -> pd.DataFrame:
    return exact(subject.model, subject.batches, modules, settings).table


def _proof(subject: Subject, modules: Sequence[Module], seed: int) -> None:
    settings = Exact()
    proven_engine(subject.model, subject.batches[0], modules, settings.output, settings.noise, seed)


def _linearized(subject: Subject, seed: int) -> pd.DataFrame:
    settings = Linearized(seed=seed)
    return linearized(subject.model, subject.batches, subject.modules, settings)


def _forward_round(subject: Subject, _round: int) -> None:
    _forward(subject, subject.batches)


@torch.no_grad()
def _forward(subject: Subject, batches: Sequence[Batch]) -> None:
    for batch in batches:
        compared_output(subject.model, batch, "pooled")
