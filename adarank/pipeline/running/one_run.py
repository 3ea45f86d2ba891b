"""One training run of a cell, from the pretrained model to files that were read back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from adarank.allocation.plan import RankPlan
from adarank.models.modules import Module, find_modules
from adarank.pipeline.artifacts.cell import FAILED, TRAINED
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.tables import write_tsv
from adarank.pipeline.files.whole import write_json
from adarank.tasks.base import Example, Headed, Task
from adarank.tuning.loop.checkpoint import Checkpoints
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.rates import Rates
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.loop.watch import Trained
from adarank.tuning.saving import verify_saved
from adarank.tuning.shortcuts.dropout import without_dropout
from adarank.tuning.shortcuts.shortcuts import PrefixStore, shortcuts
from adarank.tuning.tuners.base import During, Found, Start, Tuner

CURVE = "curve.tsv"
"""The training curve among the files of a run."""


@dataclass(frozen=True)
class Work:
    """What all runs of a cell have in common.

    Attributes:
        plan: The cell's ranks; a seed trains `plan.for_seed(seed)`.
        tuner: How they are trained.
        task: What is learned.
        train: Encoded rows, as training takes them.
        validation: Encoded rows to select by.
        settings: How a run goes; its rates are the first candidate's and are not used.
        dropout: On the adapters' inputs.
        directions: Along which the factors begin, by module; empty where the start is drawn.
        base_dropout: Whether the pretrained model's own dropout is active.
        prefixes: Outputs of frozen first blocks, kept from run to run.
    """

    plan: RankPlan
    tuner: Tuner
    task: Task
    train: Sequence[Example]
    validation: Sequence[Example]
    settings: Settings
    dropout: float
    directions: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    base_dropout: bool = True
    prefixes: PrefixStore = field(default_factory=PrefixStore)


def run(
    work: Work,
    seed: int,
    rates: Rates,
    checkpoints: Checkpoints | None = None,
    *,
    advance: Callable[[], None] = lambda: None,
    folder: Path | None = None,
) -> Trained:
    """Train a cell's plan with one seed at its rates, and save what comes of it.

    Args:
        work: The cell.
        seed: Decides the head, the adapters' start and the order of rows.
        rates: The learning rates.
        checkpoints: Where the run's state is kept, and comes from if it was cut short.
        advance: Called `settings.steps` times, also by a run that ends early.
        folder: Gets the adapter, trained.json and curve.tsv, or failed.json alone; None for a
            run that is only to show what its rates come to.

    Raises:
        DivergedError: A loss or gradient that is not finite; recorded in the folder, since a
            seed that fails is a result of its cell.
        RunError: What was built, or what is loaded from the folder, is not what was planned.
    """
    task, tuner, plan = work.task, work.tuner, work.plan.for_seed(seed)
    settings = _settings(work.settings, rates)
    headed = _headed(work, seed)
    modules = find_modules(headed.model)
    start = _start(work, seed)
    model = tuner.attach(headed, plan, start)
    begun = tuner.verify(model, plan, headed.head)

    during = tuner.during(model, plan, start)
    steps = _Steps(settings.steps, advance)
    rows = work.train, work.validation
    beside = steps.one, during, checkpoints
    try:
        with _shortcuts(work, model, modules, during):
            trained = train(model, task, *rows, settings, seed, *beside)
    except DivergedError as error:
        if folder is not None:
            _record_failure(folder, seed, rates.learning_rate, begun, error)
        raise
    finally:
        steps.rest()
    tuner.verify(model, plan, headed.head)
    if folder is None:
        return trained

    tuner.save(model, folder)
    # What is recorded is what a fresh model holds that was loaded from the files.
    saved = verify_saved(tuner, model, plan, folder, lambda: task.build(MODEL, seed))
    record: dict[str, Any] = {
        "parameters": saved.parameters,
        "peak_parameters": begun.parameters,
        "head_parameters": saved.head_parameters,
        "learning_rate": rates.learning_rate,
        "ranks": saved.ranks,
    } | trained.record
    write_json(folder / TRAINED, record)
    write_tsv(folder / CURVE, trained.curve)
    _say_saved(seed, trained, record["peak_parameters"], saved)
    return trained


def _settings(common: Settings, rates: Rates) -> Settings:
    """Set a run's rates."""
    ratios = replace(common.ratios, b=rates.rate_ratio)
    return replace(common, learning_rate=rates.learning_rate, ratios=ratios)


def _headed(work: Work, seed: int) -> Headed:
    headed = work.task.build(MODEL, seed)
    if not work.base_dropout:
        without_dropout(headed.model)
    return headed


@contextmanager
def _shortcuts(
    work: Work, model: nn.Module, modules: Sequence[Module], during: During
) -> Iterator[None]:
    """Take the shortcuts that change nothing, and say once a cell why one is not taken."""
    if during.change is not None:  # what is frozen now may be trained later
        yield
        return
    rows, settings = [*work.train, *work.validation], work.settings
    with shortcuts(
        model,
        modules,
        work.task,
        rows,
        work.prefixes,
        device=settings.device,
        bf16=settings.bf16,
    ) as taken:
        for note in taken.notes:
            if note not in work.prefixes.said:
                work.prefixes.said.add(note)
                say(note)
        yield


def _record_failure(
    folder: Path, seed: int, rate: float, begun: Found, error: DivergedError
) -> None:
    problem = error.problems[0]
    record = {
        "error": f"{problem.where}: {problem.what}",
        "parameters": begun.parameters,
        "head_parameters": begun.head_parameters,
        "learning_rate": rate,
    }
    write_json(folder / FAILED, record)
    say(f"seed {seed}: FAILED, {record['error']}\n  got:      {problem.got}")


def _say_saved(seed: int, trained: Trained, peak: int, saved: Found) -> None:
    known = {name: value for name, value in trained.validation.items() if value is not None}
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in known.items())
    more = f" (at most {peak})" if peak != saved.parameters else ""
    say(
        f"seed {seed}: validation {metrics} at step {trained.best_step}; "
        f"{len(saved.ranks)} ranks read back, {saved.parameters} parameters{more} "
        f"+ {saved.head_parameters} in the head"
    )


def _start(work: Work, seed: int) -> Start:
    return Start(
        task=work.task,
        train_rows=work.train,
        steps=work.settings.steps,
        batch_size=work.settings.batch_size,
        dropout=work.dropout,
        seed=seed,
        device=work.settings.device,
        directions=work.directions,
    )


class _Steps:
    """A run's part of the progress bar; the rest of it is filled when a run ends early."""

    def __init__(self, steps: int, advance: Callable[[], None]):
        self._left = steps
        self._advance = advance

    def one(self) -> None:
        self._left -= 1
        self._advance()

    def rest(self) -> None:
        while self._left > 0:
            self.one()
