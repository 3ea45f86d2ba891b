"""One training run of a cell, from the pretrained model to files that were read back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from adarank.allocation.plan import RankPlan
from adarank.models.form import FLOAT32, BaseForm
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
from adarank.tuning.shortcuts.checkpointing import checkpoint_blocks
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
        form: In which the base is held.
        checkpointing: Whether blocks compute their activations again in the backward.
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
    form: BaseForm = FLOAT32
    checkpointing: bool = False


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
    one = begin(work, seed, rates)
    steps = Steps(work.settings.steps, advance)
    rows = work.train, work.validation
    beside = steps.one, one.during, checkpoints
    try:
        with taken_shortcuts(work, one.model, one.modules, one.during):
            trained = train(one.model, work.task, *rows, one.settings, seed, *beside)
    except DivergedError as error:
        if folder is not None:
            record_failure(one, folder, error)
        raise
    finally:
        steps.rest()
    finish(work, one, trained, folder)
    return trained


@dataclass(frozen=True)
class Begun:
    """A run before its first step.

    Attributes:
        seed: Its seed.
        plan: What it trains.
        model: The model, attached.
        modules: The base model's, as they were before.
        head: What is trained whole.
        during: What the tuner does beside.
        settings: With the run's own rates.
        found: What was read back from the model.
    """

    seed: int
    plan: RankPlan
    model: nn.Module
    modules: Sequence[Module]
    head: tuple[str, ...]
    during: During
    settings: Settings
    found: Found


def begin(work: Work, seed: int, rates: Rates) -> Begun:
    """Build a run's model and hold it to its plan.

    Raises:
        RunError: What was built is not what was planned.
    """
    tuner, plan = work.tuner, work.plan.for_seed(seed)
    headed = fresh_model(work, seed)
    modules = find_modules(headed.model)
    start = _start(work, seed)
    model = tuner.attach(headed, plan, start)
    if work.checkpointing:
        checkpoint_blocks(headed.model)
    found = tuner.verify(model, plan, headed.head)
    settings, during = _settings(work.settings, rates), tuner.during(model, plan, start)
    return Begun(seed, plan, model, modules, headed.head, during, settings, found)


def finish(work: Work, one: Begun, trained: Trained, folder: Path | None) -> None:
    """Verify a trained model, and save it: the adapter, trained.json and curve.tsv.

    Args:
        work: The cell.
        one: The run; its model has the weights that are kept.
        trained: What it came to.
        folder: Where to save; None for nowhere.

    Raises:
        RunError: What was built, or what is loaded from the folder, is not what was planned.
    """
    tuner, plan, model = work.tuner, one.plan, one.model
    tuner.verify(model, plan, one.head)
    if folder is None:
        return
    tuner.save(model, folder)
    # What is recorded is what a fresh model holds that was loaded from the files.
    fresh = partial(work.task.build, MODEL, one.seed, work.form)
    saved = verify_saved(tuner, model, plan, folder, fresh)
    record: dict[str, Any] = {
        "parameters": saved.parameters,
        "peak_parameters": one.found.parameters,
        "head_parameters": saved.head_parameters,
        "learning_rate": one.settings.learning_rate,
        "ranks": saved.ranks,
    } | trained.record
    write_json(folder / TRAINED, record)
    write_tsv(folder / CURVE, trained.curve)
    _say_saved(one.seed, trained, record["peak_parameters"], saved)


def _settings(common: Settings, rates: Rates) -> Settings:
    """Set a run's rates."""
    ratios = replace(common.ratios, b=rates.rate_ratio)
    return replace(common, learning_rate=rates.learning_rate, ratios=ratios)


def fresh_model(work: Work, seed: int) -> Headed:
    """Load the pretrained model with a seed's head, without its dropout where that is asked for."""
    headed = work.task.build(MODEL, seed, work.form)
    if not work.base_dropout:
        without_dropout(headed.model)
    return headed


@contextmanager
def taken_shortcuts(
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
        bf16=settings.bf16 or not work.form.plain,
    ) as taken:
        for note in taken.notes:
            if note not in work.prefixes.said:
                work.prefixes.said.add(note)
                say(note)
        yield


def record_failure(one: Begun, folder: Path, error: DivergedError) -> None:
    """Write failed.json: where a run diverged, and what it was."""
    problem = error.problems[0]
    record = {
        "error": f"{problem.where}: {problem.what}",
        "parameters": one.found.parameters,
        "head_parameters": one.found.head_parameters,
        "learning_rate": one.settings.learning_rate,
    }
    write_json(folder / FAILED, record)
    say(f"seed {one.seed}: FAILED, {record['error']}\n  got:      {problem.got}")


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


class Steps:
    """A run's part of the progress bar; the rest of it is filled when a run ends early."""

    def __init__(self, steps: int, advance: Callable[[], None]):
        self._left = steps
        self._advance = advance

    def one(self) -> None:
        """Count a step."""
        self._left -= 1
        self._advance()

    def rest(self) -> None:
        """Count all that were not taken."""
        while self._left > 0:
            self.one()
