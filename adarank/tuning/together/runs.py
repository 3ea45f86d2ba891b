"""The runs that are trained at once, and how far each of them is."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
from peft import PeftModel
from transformers import TrainerControl, TrainerState

from adarank.errors import Problem
from adarank.tasks.base import Example, Task
from adarank.tuning.loop.batches import length
from adarank.tuning.loop.checkpoint import State
from adarank.tuning.loop.finite import DivergedError, check_predictions
from adarank.tuning.loop.training import Settings
from adarank.tuning.loop.watch import Outcome, Watch
from adarank.tuning.tuners.base import During


@dataclass(frozen=True)
class Run:
    """One of the runs.

    Attributes:
        model: Its own model, which shares the frozen weights; gets the best ones.
        seed: Decides the order of the rows.
        settings: Alike for all runs but for rate and ratios.
        during: Its tuner's; looks at most.
        advance: Called after each of its steps.
    """

    model: PeftModel
    seed: int
    settings: Settings
    during: During
    advance: Callable[[], None] = lambda: None


class Progress:
    """How far a run is; calls the watch as a Trainer calls its callbacks.

    Args:
        run: The run.
        task: What is learned.

    Attributes:
        going: Whether it takes further steps.
    """

    def __init__(self, run: Run, task: Task):
        settings = run.settings
        self._run, self._task = run, task
        self._watch = Watch(task, settings.select_by, settings.patience, run.advance, run.during)
        self._tokens, self._seconds = 0, 0.0
        self._error: DivergedError | None = None
        self.going = True

    def stepped(
        self, step: int, rows: Sequence[Example], seen: Sequence[float], factor: float
    ) -> None:
        """Note a step: its rows, its loss and gradient norm, and the schedule's factor."""
        loss, norm = seen
        self._tokens += _tokens(rows)
        rate = self._run.settings.learning_rate * factor
        about = None, TrainerState(global_step=step), TrainerControl()
        watched: Any = self._watch
        watched.on_step_end(*about)
        watched.on_log(*about, logs={"loss": loss, "grad_norm": norm, "learning_rate": rate})

    def took(self, seconds: float) -> None:
        """Add the run's share of a step's time."""
        self._seconds += seconds

    def looked(self, step: int, table: pd.DataFrame) -> None:
        """Note a look at validation, which may end the run; its model has the step's weights."""
        control, state = TrainerControl(), TrainerState(global_step=step)
        watched: Any = self._watch
        try:
            check_predictions(table, step)
            metrics = self._task.metrics(table)
            watched.on_evaluate(None, state, control, metrics=metrics, model=self._run.model)
        except DivergedError as error:
            self.failed(error)
        if control.should_training_stop:
            self.going = False

    def failed(self, error: DivergedError) -> None:
        """End the run where it has diverged."""
        self.going, self._error = False, error

    def outcome(self) -> Outcome:
        """Restore the best weights in the run's model, and return what came of it."""
        if self._error is not None:
            return self._error
        trained = self._watch.finish(self._run.model)
        return replace(trained, tokens=self._tokens, seconds=self._seconds)

    def state(self) -> State:
        """Return what a run that is resumed must know."""
        watched, error = self._watch.state(), self._error
        note = {
            "tokens": self._tokens,
            "seconds": self._seconds,
            "going": self.going,
            "problem": asdict(error.problems[0]) if error else None,
            "watch": watched.note,
        }
        return State(watched.tensors, note)

    def restore(self, state: State, step: int) -> None:
        """Restore what `state` returned after a step."""
        note, watched = state.note, self._watch
        anything: Any = watched
        watched.restore(State(state.tensors, note["watch"]))
        anything.on_train_begin(None, TrainerState(global_step=step), TrainerControl())
        self._tokens, self._seconds = note["tokens"], note["seconds"]
        self.going = note["going"]
        if note["problem"]:
            self._error = DivergedError(Problem(**note["problem"]))


def _tokens(rows: Sequence[Example]) -> int:
    """Count a batch's tokens as the Trainer does: padding left out where a mask shows it."""
    lengths = list(map(length, rows))
    return len(rows) * max(lengths) if "position_ids" in rows[0] else sum(lengths)
