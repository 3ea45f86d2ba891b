"""A study's merges in the scratch store: finished ones whole, the current one as a checkpoint."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from adarank.merging.learned.state import State
from adarank.pipeline.console.reporting import say
from adarank.pipeline.scratch.entry import Entry
from adarank.pipeline.scratch.pace import usual_pace
from adarank.pipeline.scratch.store import Key, Store


class MergeCheckpoint:
    """The last state of a learned merge, replaced as it goes on.

    Args:
        store: The scratch store.
        key: The merge's.
    """

    def __init__(self, store: Store, key: Key):
        self._store, self._key = store, replace(key, kind="checkpoint")
        self._pace = usual_pace()

    def last(self) -> State | None:
        """Return the state that was saved last, or None."""
        entry = self._store.get(self._key)
        if entry is None:
            return None
        history = tuple((int(step), float(value)) for step, value in entry.note["history"])
        state = State(tensors=dict(entry.tensors), **entry.note | {"history": history})
        say(f"{self._key.what}: goes on after step {state.step}, from {self._store.name}")
        return state

    def save(self, state: State) -> None:
        """Write the state in place of the one before, where it is time to."""
        if not self._store.keeps or not self._pace.due():
            return
        note = {name: getattr(state, name) for name in ("step", "best", "best_step", "history")}
        with self._pace.writing():
            self._store.put(self._key, Entry(state.tensors, note))

    def remove(self) -> None:
        """Remove it: the merge is done."""
        self._store.remove(self._key)


def cached_or_merged(
    store: Store, key: Key, folder: Path, merge: Callable[[MergeCheckpoint], None]
) -> None:
    """Fill a folder with a merge: as it was stored, or made now by `merge` and stored."""
    with store.held(key):
        if store.get_folder(key, folder) is not None:
            say(f"{key.what}: taken from {store.name}")
            return
        checkpoint = MergeCheckpoint(store, key)
        merge(checkpoint)
        store.put_folder(key, folder, None)
        # Only now: between the two, a kill costs nothing.
        checkpoint.remove()
