"""Training runs of a cell in the scratch store: finished ones whole, one at work by checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from adarank.errors import Problem
from adarank.pipeline.console.reporting import say
from adarank.pipeline.scratch.entry import Entry, of_files
from adarank.pipeline.scratch.pace import Pace, usual_pace
from adarank.pipeline.scratch.store import Key, Store, make_key
from adarank.tuning.loop.checkpoint import State
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.watch import Trained


@dataclass(frozen=True)
class Finished:
    """What a seed's run leaves.

    Attributes:
        files: Its adapter's folder, by name; in place of it failed.json alone.
        curve: Its curve as a file; None where it failed.
        seconds: Time it trained.
        tokens: Tokens it learned from.
    """

    files: dict[str, bytes]
    curve: bytes | None
    seconds: float = 0.0
    tokens: int = 0

    def without_files(self) -> "Finished":
        """Tell what it cost alone."""
        return replace(self, files={}, curve=None)


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
        """Give back the state that was saved last."""
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


class KeptRuns:
    """The runs of one cell.

    Args:
        store: The scratch store.
        label: The stage and cell, in words.
        decides: All that decides a run but its seed and learning rate.
    """

    def __init__(self, store: Store, label: str, decides: Mapping[str, Any]):
        self._store, self._label, self._decides = store, label, decides

    def tried(self, seed: int, rate: float, run: Callable[[Checkpoint], Trained]) -> Trained:
        """Look up, or make, what a learning rate comes to on validation; without the curve.

        Raises:
            DivergedError: That it diverges, as when it was tried first.
        """
        key = self._key("rate", seed, rate)
        with self._store.held(key):
            entry = self._store.get(key) or self._made(key, lambda one: _tried(run, one))
        note = entry.note
        if "problem" in note:
            raise DivergedError(Problem(**note["problem"]))
        return Trained(pd.DataFrame(), note["best_step"], note["validation"])

    def seed(self, seed: int, rate: float, run: Callable[[Checkpoint], Finished]) -> Finished:
        """Look up, or make, what a seed's run leaves."""
        key = self._key("seed", seed, rate)
        with self._store.held(key):
            entry = self._store.get(key) or self._made(key, lambda one: _entry_of(run(one)))
        files = entry.files
        return Finished(files, files.pop(_CURVE, None), **entry.note)

    def tell_found(self, kind: str, runs: list[tuple[int, float]]) -> None:
        """Say which runs need not be made, if any."""
        found = [one for one in runs if self._store.has(self._key(kind, *one))]
        if found:
            of_rate = kind == "rate"
            names = ", ".join(f"{rate:g}" if of_rate else str(seed) for seed, rate in found)
            what = "learning rates" if of_rate else "seeds"
            say(f"{self._label}: {what} {names} taken from {self._store.name}")

    def _key(self, kind: str, seed: int, rate: float) -> Key:
        what = f"{self._label}, seed {seed}, learning rate {rate:g}"
        return make_key(kind, what, **self._decides, seed=seed, learning_rate=rate)

    def _made(self, key: Key, make: Callable[[Checkpoint], Entry]) -> Entry:
        checkpoint = Checkpoint(self._store, key, usual_pace())
        entry = make(checkpoint)
        self._store.put(key, entry)
        # Only now: between the two, a kill costs nothing.
        checkpoint.remove()
        return entry


_CURVE = "curve.tsv"


def _tried(run: Callable[[Checkpoint], Trained], checkpoint: Checkpoint) -> Entry:
    try:
        done = run(checkpoint)
    except DivergedError as error:
        return Entry(note={"problem": asdict(error.problems[0])})
    return Entry(note={"best_step": done.best_step, "validation": done.validation})


def _entry_of(done: Finished) -> Entry:
    curve = {} if done.curve is None else {_CURVE: done.curve}
    return of_files(done.files | curve, {"seconds": done.seconds, "tokens": done.tokens})
