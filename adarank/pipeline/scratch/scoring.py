"""Parts of a scoring run in the scratch store: what scoring's `Kept` asks for."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from adarank.pipeline.console.reporting import say
from adarank.pipeline.scratch.entry import Entry
from adarank.pipeline.scratch.pace import Pace, usual_pace
from adarank.pipeline.scratch.store import Key, Store


class KeptParts:
    """Parts by name, written now and then, as many together as have come up.

    Every write makes an entry of its own under one key, so processes that share the work never
    overwrite each other's.

    Args:
        store: The scratch store.
        key: Stands for all that decides the parts.
        pace: When to write.
    """

    def __init__(self, store: Store, key: Key, pace: Pace):
        self._store, self._key, self._pace = store, key, pace
        self._written: dict[str, dict[str, Tensor]] = {}
        self._pending: dict[str, Tensor] = {}
        for part in store.parts(key):
            entry = store.get(key, part)
            if entry is not None:
                self._written[part] = dict(entry.tensors)
        found = sum(map(len, self._written.values()))
        if found:
            say(f"{key.what}: {found} finished parts taken from {store.name}")

    def get(self, name: str) -> Tensor | None:
        """Return a part that an earlier run saved; None for none."""
        return next((one[name] for one in self._written.values() if name in one), None)

    def put(self, name: str, values: Tensor) -> None:
        """Keep a part, to be written when a write is due."""
        if self._store.folder is None:
            return
        self._pending[name] = values
        if self._pace.due():
            with self._pace.writing():
                self.write()

    def drop(self, name: str) -> None:
        """Forget a part; an entry that has no other goes."""
        self._pending.pop(name, None)
        for part in [part for part, one in self._written.items() if name in one]:
            del self._written[part][name]
            if not self._written[part]:
                del self._written[part]
                self._store.remove(self._key, part)

    def write(self) -> None:
        """Write what has come up since the last time."""
        if self._pending:
            part = secrets.token_hex(4)
            self._store.put(self._key, Entry(self._pending), part)
            self._written[part] = self._pending
            self._pending = {}

    def join(self) -> None:
        """Make one entry of all."""
        before = list(self._written)
        if len(before) + bool(self._pending) > 1:
            for one in self._written.values():
                self._pending = one | self._pending
            self._written = {}
            self.write()
            for part in before:
                self._store.remove(self._key, part)
        else:
            self.write()


@contextmanager
def kept_parts(store: Store, key: Key) -> Iterator[KeptParts]:
    """Open the parts of a key; however the body ends, what it had finished is written."""
    kept = KeptParts(store, key, usual_pace())
    try:
        yield kept
    except BaseException:
        kept.write()
        raise
    kept.join()
