"""One training run of a cell: begun by its tuner, trained, saved, and read back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from adarank.allocation.plan import RankPlan
from adarank.pipeline.artifacts.cell import FAILED, TRAINED
from adarank.pipeline.artifacts.model import MODEL
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import as_tsv, write_bytes, write_json
from adarank.pipeline.scratch.training import Finished
from adarank.tasks.base import Example, Headed, Task
from adarank.tuning.loop.checkpoint import Checkpoints
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.loop.watch import Trained
from adarank.tuning.saving import verify_saved
from adarank.tuning.tuners.base import Start, Tuner


@dataclass(frozen=True)
class Work:
    """What all runs of a cell have in common.

    Attributes:
        plan: The cell's ranks; a seed trains `plan.for_seed(seed)`.
        tuner: How they are trained.
        task: What is learned.
        train: Encoded rows, as training takes them.
        validation: Encoded rows to select by.
        settings: How a run goes, but for its learning rate, which is the first candidate's.
        dropout: On the adapters' inputs.
    """

    plan: RankPlan
    tuner: Tuner
    task: Task
    train: Sequence[Example]
    validation: Sequence[Example]
    settings: Settings
    dropout: float

    def fresh(self, seed: int) -> Headed:
        """Load the model with a seed's head."""
        return self.task.build(MODEL, seed)


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        seed: What decided its start and its order of rows.
        learning_rate: The schedule's height.
        model: The model, with the best weights.
        trained: How it came to them.
        peak_parameters: Most parameters trained at any step, the head's apart.
    """

    seed: int
    learning_rate: float
    model: nn.Module
    trained: Trained
    peak_parameters: int


def train_once(
    work: Work,
    seed: int,
    rate: float,
    advance: Callable[[], None],
    checkpoints: Checkpoints | None = None,
) -> Run:
    """Train a cell with one seed at one rate; `advance` is called `settings.steps` times.

    With `checkpoints` it goes on from where an earlier run was cut short, if one was.

    Raises:
        DivergedError: A loss or gradient that is not finite.
        RunError: What was built is not what was planned.
    """
    task, tuner, plan = work.task, work.tuner, work.plan.for_seed(seed)
    settings = replace(work.settings, learning_rate=rate)
    headed = work.fresh(seed)
    model = tuner.attach(headed, plan, _start(work, seed))
    peak = tuner.verify(model, plan, headed.head).parameters
    during = tuner.during(model, plan, settings.steps)
    steps = _Steps(settings.steps, advance)
    try:
        trained = train(
            model,
            task,
            work.train,
            work.validation,
            settings,
            seed,
            steps.one,
            during,
            checkpoints=checkpoints,
        )
    finally:
        steps.rest()
    tuner.verify(model, plan, headed.head)
    return Run(seed, rate, model, trained, peak)


def train_whole(
    work: Work,
    seed: int,
    rate: float,
    advance: Callable[[], None],
    folder: Path,
    checkpoints: Checkpoints,
) -> Finished:
    """Train a cell with one seed, save what comes of it in a folder, and tell it.

    A run that diverges is saved as a failure.
    """
    try:
        one = train_once(work, seed, rate, advance, checkpoints)
    except DivergedError as error:
        save_failure(work, seed, rate, error, folder)
        return Finished(_files(folder), None)
    save_checked(work, one, folder)
    trained = one.trained
    return Finished(_files(folder), as_tsv(trained.curve), trained.seconds, trained.tokens)


def write_finished(one: Finished, folder: Path, curve: Path) -> None:
    """Write what a run left, as far as it is not there."""
    if not folder.exists():
        for name, data in one.files.items():
            write_bytes(folder / name, data)
    if one.curve is not None:
        write_bytes(curve, one.curve)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def save_checked(work: Work, one: Run, folder: Path) -> None:
    """Save a run's weights, reload and compare them, and write trained.json beside them.

    Raises:
        RunError: What is loaded from the folder is not what was trained, or planned.
    """
    work.tuner.save(one.model, folder, MODEL.as_posix())
    plan = work.plan.for_seed(one.seed)
    found = verify_saved(work.tuner, one.model, plan, folder, lambda: work.fresh(one.seed))
    record = {
        "parameters": found.parameters,
        "peak_parameters": one.peak_parameters,
        "head_parameters": found.head_parameters,
        "learning_rate": one.learning_rate,
        "ranks": found.ranks,
    }
    write_json(folder / TRAINED, record)
    peak = one.peak_parameters
    more = f" (at most {peak})" if peak != found.parameters else ""
    say(
        f"seed {one.seed}: {_metrics(one.trained)} at step {one.trained.best_step}; "
        f"{len(found.ranks)} ranks read back, {found.parameters} parameters{more} "
        f"+ {found.head_parameters} in the head"
    )


def save_failure(work: Work, seed: int, rate: float, error: DivergedError, folder: Path) -> None:
    """Write failed.json for a seed that diverged: what happened, and the parameters it trained.

    A seed that fails is a result of its cell: it must be seen beside those that did not.
    """
    headed, plan = work.fresh(seed), work.plan.for_seed(seed)
    model = work.tuner.attach(headed, plan, _start(work, seed))
    found = work.tuner.verify(model, plan, headed.head)
    problem = error.problems[0]
    record = {
        "error": f"{problem.where}: {problem.what}",
        "parameters": found.parameters,
        "head_parameters": found.head_parameters,
        "learning_rate": rate,
    }
    write_json(folder / FAILED, record)
    say(f"seed {seed}: FAILED, {record['error']}\n  got:      {problem.got}")


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


def _start(work: Work, seed: int) -> Start:
    return Start(
        task=work.task,
        train_rows=work.train,
        steps=work.settings.steps,
        batch_size=work.settings.batch_size,
        dropout=work.dropout,
        seed=seed,
        device=work.settings.device,
    )


def _metrics(trained: Trained) -> str:
    known = {name: value for name, value in trained.validation.items() if value is not None}
    return "validation " + ", ".join(f"{name} {value:.4f}" for name, value in known.items())
