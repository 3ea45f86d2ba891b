"""A cell's runs: one after another, or several at once where their tuner lets them."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from peft import PeftModel

from adarank.pipeline.console.reporting import say
from adarank.pipeline.running import one_run
from adarank.pipeline.running.one_run import Begun, Steps, Work
from adarank.pipeline.scratch.training import CachedRuns, SeededRates
from adarank.tuning.loop.checkpoint import Checkpoints
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.rates import Rates
from adarank.tuning.loop.watch import Outcome, Trained
from adarank.tuning.together.carrier import Carrier
from adarank.tuning.together.runs import Run
from adarank.tuning.together.stacking import (
    carry,
    first_losses_differ,
    share_base,
    why_apart,
)
from adarank.tuning.together.training import train_together
from adarank.tuning.tuners.base import During


class CellRuns:
    """The runs of a cell, each looked up in the cache or made.

    Args:
        work: The cell.
        cached: Its cache.
        together: Runs to train at once, at most.
        advance: Called for every optimiser step of every run.
    """

    def __init__(self, work: Work, cached: CachedRuns, together: int, advance: Callable[[], None]):
        self._work, self._cached, self._advance = work, cached, advance
        self._together = together
        self._done: dict[tuple[str, int, Rates], Outcome] = {}

    def prepare(
        self, kind: str, runs: Sequence[SeededRates], folder_of: Callable[[int], Path] | None = None
    ) -> None:
        """Train runs that are needed next, `together` at a time; alone ones are left for later.

        Args:
            kind: `rate`, or `seed` for runs that leave files.
            runs: In the order in which they make up groups.
            folder_of: A seed's folder.
        """
        for at in range(0, len(runs), self._together):
            group = list(runs[at : at + self._together])
            if len(group) > 1 and self._together > 1:
                folders = [folder_of(seed) for seed, _ in group] if folder_of else None
                train = partial(run_group, self._work, group, self._advance, folders)
                found = self._cached.group(kind, group, folders, train)
                if isinstance(found, str):
                    say(f"{self._cached.label}: its runs are trained one by one: {found}")
                    self._together = 1
                    break
                keys = [(kind, *run) for run in group]
                self._done |= dict(zip(keys, found, strict=True))
        self._cached.say_found(kind, [run for run in runs if (kind, *run) not in self._done])

    def rate(self, seed: int, rates: Rates) -> Trained:
        """Return what some rates come to; see CachedRuns.rate."""
        if found := self._done.get(("rate", seed, rates)):
            return _trained(found)
        run = partial(one_run.run, self._work, seed, rates, advance=self._advance)
        return self._cached.rate(seed, rates, run)

    def seed(self, seed: int, rates: Rates, folder: Path) -> Trained:
        """Return what a seed comes to, its files in the folder; see CachedRuns.seed."""
        if found := self._done.get(("seed", seed, rates)):
            return _trained(found)
        run = partial(one_run.run, self._work, seed, rates, advance=self._advance, folder=folder)
        return self._cached.seed(seed, rates, folder, run)


def run_group(
    work: Work,
    pairs: Sequence[SeededRates],
    advance: Callable[[], None],
    folders: Sequence[Path] | None,
    checkpoints: Checkpoints,
) -> list[Outcome] | str:
    """Train runs of a cell at once, and save each as `one_run.run` does.

    Args:
        work: The cell.
        pairs: Seed and rates of each run.
        advance: Called `settings.steps` times a run.
        folders: Get each run's files; None for runs that only show what a rate comes to.
        checkpoints: Where the state of all runs is kept, and comes from if they were cut short.

    Returns:
        What each came to, or in words why they cannot be trained at once.

    Raises:
        RunError: What was built, or what is loaded from a folder, is not what was planned.
    """
    begun = _begin(work, pairs)
    if isinstance(begun, str):
        return begun
    runs, carrier = begun
    steps = [Steps(work.settings.steps, advance) for _ in runs]
    parts = [
        Run(_carried_model(one), one.seed, one.settings, one.during, step.one)
        for one, step in zip(runs, steps, strict=True)
    ]
    rows = work.train, work.validation
    with one_run.taken_shortcuts(work, carrier.model, runs[0].modules, During()):
        outcomes = train_together(carrier, parts, work.task, *rows, checkpoints)
    for number, (one, outcome) in enumerate(zip(runs, outcomes, strict=True)):
        steps[number].rest()
        folder = folders[number] if folders else None
        if isinstance(outcome, Trained):
            one_run.finish(work, one, outcome, folder)
        elif folder is not None:
            one_run.record_failure(one, folder, outcome)
    return outcomes


def _begin(work: Work, pairs: Sequence[SeededRates]) -> tuple[list[Begun], Carrier] | str:
    """Build every run's model and their carrier, the frozen weights held once."""
    if work.checkpointing:
        return "blocks are computed again (finetune.gradient_checkpointing)"
    if not work.form.plain:
        return "the base is not held in float32 (model.dtype, model.quantization)"
    if work.plan.bias_norm is not None:
        return "biases and norms of the model itself are trained"
    runs: list[Begun] = []
    for seed, rates in pairs:
        runs.append(one := one_run.begin(work, seed, rates))
        if reason := why_apart(one.model, one.settings, one.during):
            return reason
        if len(runs) > 1:
            share_base(_carried_model(runs[0]), _carried_model(one))
    models = [_carried_model(one) for one in runs]
    headed = one_run.fresh_model(work, runs[0].seed)
    carrier = carry(headed, runs[0].plan, models, work.task, work.settings.device)
    if isinstance(carrier, str):
        return carrier
    given = (models, work.task, work.train, work.settings)
    return first_losses_differ(carrier, *given) or (runs, carrier)


def _carried_model(one: Begun) -> PeftModel:
    """Return the model of a run that can be trained at once with others."""
    assert isinstance(one.model, PeftModel)
    return one.model


def _trained(outcome: Outcome) -> Trained:
    if isinstance(outcome, DivergedError):
        raise outcome
    return outcome
