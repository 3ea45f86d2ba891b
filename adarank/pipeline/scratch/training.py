"""Cache of a cell's training runs: finished runs in full, the current run as a checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from adarank.errors import Problem
from adarank.pipeline.console.reporting import say
from adarank.pipeline.scratch.entry import Entry
from adarank.pipeline.scratch.pace import Pace, usual_pace
from adarank.pipeline.scratch.store import Key, Store, make_key
from adarank.tuning.loop.checkpoint import State
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.rates import Rates
from adarank.tuning.loop.watch import Trained


class Checkpoint:
    """The last state of the run at work, replaced as it goes on.

    Args:
        store: The scratch store.
        key: The run's.
        pace: How often it is written.
    """

    def __init__(self, store: Store, key: Key, pace: Pace):
        self._store, self._pace = store, pace
        self._key = replace(key, kind="checkpoint")

    def last(self) -> State | None:
        """Return the state that was saved last."""
        entry = self._store.get(self._key)
        if entry is None:
            return None
        step = entry.note["trainer"]["global_step"]
        say(f"{self._key.what}: goes on after step {step}, from {self._store.name}")
        return State(dict(entry.tensors), entry.note)

    def due(self) -> bool:
        """Whether it is time to save."""
        return self._store.folder is not None and self._pace.due()

    def save(self, state: State) -> None:
        """Write the state in place of the one before."""
        with self._pace.writing():
            self._store.put(self._key, Entry(state.tensors, state.note))

    def remove(self) -> None:
        """Remove it: the run has ended."""
        self._store.remove(self._key)


class CachedRuns:
    """The training runs of one cell.

    Args:
        store: The scratch store.
        label: The stage and cell, in words.
        decides: All that decides a run but its seed and rates.
    """

    def __init__(self, store: Store, label: str, decides: Mapping[str, Any]):
        self._store, self._label, self._decides = store, label, decides

    def rate(self, seed: int, rates: Rates, run: Callable[[Checkpoint], Trained]) -> Trained:
        """Look up, or make, a run that only shows what its rates come to on validation.

        Raises:
            DivergedError: It diverges, or did when it was made.
        """
        key = self._key("rate", seed, rates)
        with self._store.held(key):
            found = self._store.get(key)
            note = self._made(key, run) if found is None else found.note
        return _result(note)

    def seed(
        self, seed: int, rates: Rates, folder: Path, run: Callable[[Checkpoint], Trained]
    ) -> Trained:
        """Look up, or make, a run that leaves files.

        Args:
            seed: The run's.
            rates: Its rates.
            folder: Gets the files: from `run`, or as `run` once left them.
            run: Makes it.

        Raises:
            DivergedError: It diverges, or did when it was made; the files are there.
        """
        key = self._key("seed", seed, rates)
        with self._store.held(key):
            found = self._store.get_folder(key, folder)
            note = self._made(key, run, folder) if found is None else found.note
        return _result(note)

    def say_found(self, kind: str, runs: list[tuple[int, Rates]]) -> None:
        """Print which runs are cached, if any."""
        found = [run for run in runs if self._store.has(self._key(kind, *run))]
        if found:
            of_rate = kind == "rate"
            names = ", ".join(
                dict.fromkeys(str(rates) if of_rate else str(seed) for seed, rates in found)
            )
            what = "learning rates" if of_rate else "seeds"
            say(f"{self._label}: {what} {names} taken from {self._store.name}")

    def _key(self, kind: str, seed: int, rates: Rates) -> Key:
        what = f"{self._label}, seed {seed}, learning rate {rates}"
        return make_key(kind, what, **self._decides, seed=seed, **asdict(rates))

    def _made(
        self, key: Key, run: Callable[[Checkpoint], Trained], folder: Path | None = None
    ) -> dict[str, Any]:
        checkpoint = Checkpoint(self._store, key, usual_pace())
        note = _note(run, checkpoint)
        if folder is None:
            self._store.put(key, Entry(note=note))
        else:
            self._store.put_folder(key, folder, note)
        # Only now: between the two, a kill costs nothing.
        checkpoint.remove()
        return note


def _note(run: Callable[[Checkpoint], Trained], checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        done = run(checkpoint)
    except DivergedError as error:
        return {"problem": asdict(error.problems[0])}
    return {name: getattr(done, name) for name in ("best_step", "validation", "tokens", "seconds")}


def _result(note: Mapping[str, Any]) -> Trained:
    """Turn a note into the result of a run, without its curve; or raise what ended it."""
    if "problem" in note:
        raise DivergedError(Problem(**note["problem"]))
    return Trained(pd.DataFrame(), **note)
