"""Cache of a cell's training runs: finished runs in full, the current run as a checkpoint."""

import shutil
from collections.abc import Callable, Mapping, Sequence
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
from adarank.tuning.loop.watch import Outcome, Trained

SeededRates = tuple[int, Rates]
"""A run's seed and rates."""


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
        return self._store.keeps and self._pace.due()

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
        label: The stage and cell, in words; an attribute, too.
        decides: All that decides a run but its seed and rates.
    """

    def __init__(self, store: Store, label: str, decides: Mapping[str, Any]):
        self._store, self.label, self._decides = store, label, decides

    @property
    def keeps(self) -> bool:
        """Whether the store keeps anything, still."""
        return self._store.keeps

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

    def group(
        self,
        kind: str,
        runs: list[SeededRates],
        folders: Sequence[Path] | None,
        train: Callable[[Checkpoint], list[Outcome] | str],
    ) -> list[Outcome] | str:
        """Look up, or make, runs that are trained at once.

        Their sums have another order than alone or with others, so each is found again only as
        one of these very runs.

        Args:
            kind: `rate` or `seed`.
            runs: Seed and rates of each.
            folders: Get the files of each, from `train` or as it once left them; None for none.
            train: Makes all of them, or says why it cannot.
        """
        beside = [[seed, asdict(rates)] for seed, rates in runs]
        keys = [self._key(kind, *run, together=beside) for run in runs]
        what = f"{self.label}, {len(runs)} runs at once"
        whole = make_key(f"{kind}s at once", what, **self._decides, together=beside)
        with self._store.held(whole):
            if (notes := self._notes_of(keys, folders)) is not None:
                self._say(kind, runs)
                return [_outcome(note) for note in notes]
            checkpoint = Checkpoint(self._store, whole, usual_pace())
            outcomes = train(checkpoint)
            if not isinstance(outcomes, str):
                for key, folder, outcome in zip(keys, _each(folders, keys), outcomes, strict=True):
                    self._put(key, folder, _note_of(outcome))
            checkpoint.remove()
            return outcomes

    def _notes_of(
        self, keys: Sequence[Key], folders: Sequence[Path] | None
    ) -> list[dict[str, Any]] | None:
        """Read all of a group's runs; None, and no folder, unless every one is there."""
        if not all(self._store.has(key) for key in keys):
            return None
        places = _each(folders, keys)
        pairs = zip(keys, places, strict=True)
        found = [self._store.get_folder(k, f) if f else self._store.get(k) for k, f in pairs]
        notes = [entry.note for entry in found if entry is not None]
        if len(notes) == len(keys):
            return notes
        for folder in filter(None, places):
            shutil.rmtree(folder, ignore_errors=True)
        return None

    def say_found(self, kind: str, runs: list[SeededRates]) -> None:
        """Print which runs are cached, if any."""
        self._say(kind, [run for run in runs if self._store.has(self._key(kind, *run))])

    def _say(self, kind: str, found: list[SeededRates]) -> None:
        if found:
            of_rate = kind == "rate"
            names = ", ".join(
                dict.fromkeys(str(rates) if of_rate else str(seed) for seed, rates in found)
            )
            what = "learning rates" if of_rate else "seeds"
            say(f"{self.label}: {what} {names} taken from {self._store.name}")

    def _key(self, kind: str, seed: int, rates: Rates, **more: Any) -> Key:
        what = f"{self.label}, seed {seed}, learning rate {rates}"
        return make_key(kind, what, **self._decides, seed=seed, **asdict(rates), **more)

    def _made(
        self, key: Key, run: Callable[[Checkpoint], Trained], folder: Path | None = None
    ) -> dict[str, Any]:
        checkpoint = Checkpoint(self._store, key, usual_pace())
        try:
            note = _note_of(run(checkpoint))
        except DivergedError as error:
            note = _note_of(error)
        except Exception as error:
            error.add_note(f"in {key.what}")  # a traceback then ends with it
            raise
        self._put(key, folder, note)
        # Only now: between the two, a kill costs nothing.
        checkpoint.remove()
        return note

    def _put(self, key: Key, folder: Path | None, note: dict[str, Any]) -> None:
        if folder is None:
            self._store.put(key, Entry(note=note))
        else:
            self._store.put_folder(key, folder, note)


def _each(folders: Sequence[Path] | None, keys: Sequence[Key]) -> Sequence[Path | None]:
    return folders if folders is not None else [None] * len(keys)


def _note_of(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, DivergedError):
        return {"problem": asdict(outcome.problems[0])}
    kept = ("best_step", "validation", "tokens", "seconds")
    return {name: getattr(outcome, name) for name in kept}


def _outcome(note: Mapping[str, Any]) -> Outcome:
    try:
        return _result(note)
    except DivergedError as error:
        return error


def _result(note: Mapping[str, Any]) -> Trained:
    """Turn a note into the result of a run, without its curve; or raise what ended it."""
    if "problem" in note:
        raise DivergedError(Problem(**note["problem"]))
    return Trained(pd.DataFrame(), **note)
