"""Parts of a scoring run in the scratch store: what scoring's `Kept` asks for."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from adarank.pipeline.console.reporting import say
from adarank.pipeline.scratch.entry import Entry
from adarank.pipeline.scratch.pace import Pace, usual_pace
from adarank.pipeline.scratch.store import Key, Store

_MOST_PENDING = 2**28
"""Bytes of parts from which on they are written, however soon that is after the last write."""

_SMALL = 2**12
"""Bytes up to which a part that was found stays in memory."""


class KeptParts:
    """Parts by name, written now and then, as many together as have come up.

    Every write makes an entry of its own under one key, so processes that share the work never
    overwrite each other's. Of what is written only the names and small parts (such as scores)
    stay in memory, and the entry that was read last.

    Args:
        store: The scratch store.
        key: Stands for all that decides the parts.
        pace: When to write.

    Attributes:
        found: How many parts there were at the start.
    """

    def __init__(self, store: Store, key: Key, pace: Pace):
        self._store, self._key, self._pace = store, key, pace
        self._written: dict[str, set[str]] = {}
        self._pending: dict[str, Tensor] = {}
        self._last: tuple[str, Mapping[str, Tensor]] = ("", {})
        self._small: dict[str, Tensor] = {}
        self._used: set[str] = set()
        for part in store.parts(key):
            entry = store.get(key, part)
            if entry is not None:
                self._written[part] = set(entry.tensors)
                # Copies: a tensor of an entry may be a view that keeps all of it in memory.
                small = {n: t for n, t in entry.tensors.items() if t.nbytes <= _SMALL}
                self._small |= {name: values.clone() for name, values in small.items()}
        self.found = sum(map(len, self._written.values()))
        if self.found:
            say(f"{key.what}: {self.found} finished parts found in {store.name}")

    def get(self, name: str) -> Tensor | None:
        """Return a part that was saved, in this run or an earlier one; None for none."""
        if name in self._pending:
            return self._pending[name]
        part = next((part for part, names in self._written.items() if name in names), None)
        if part is None:
            return None
        self._used.add(name)
        return self._small[name] if name in self._small else self._read(part).get(name)

    def put(self, name: str, values: Tensor) -> None:
        """Keep a part, to be written when a write is due."""
        if not self._store.keeps:
            return
        self._pending[name] = values
        if self._pace.due():
            with self._pace.writing():
                self.write()
        elif sum(one.nbytes for one in self._pending.values()) > _MOST_PENDING:
            self.write()

    def drop(self, name: str) -> None:
        """Forget a part; an entry that has no other goes."""
        self._pending.pop(name, None)
        self._small.pop(name, None)
        for part in [part for part, names in self._written.items() if name in names]:
            self._written[part].discard(name)
            if not self._written[part]:
                del self._written[part]
                self._store.remove(self._key, part)

    def write(self) -> None:
        """Write what has come up since the last time."""
        if self._pending:
            part = secrets.token_hex(4)
            self._store.put(self._key, Entry(self._pending), part)
            if self._store.has(self._key, part):
                self._written[part] = set(self._pending)
            self._pending = {}

    def join(self) -> None:
        """Make one entry of all."""
        before = list(self._written)
        if len(before) + bool(self._pending) > 1:
            for part in before:
                found, names = self._read(part), self._written.pop(part)
                self._pending |= {name: found[name] for name in names & found.keys()}
            self.write()
            for part in before:
                self._store.remove(self._key, part)
        else:
            self.write()

    def _read(self, part: str) -> Mapping[str, Tensor]:
        if self._last[0] != part:
            entry = self._store.get(self._key, part)
            self._last = (part, {} if entry is None else entry.tensors)
        return self._last[1]

    def tell_use(self) -> None:
        """Say how many of the parts that were found were asked for, unless all were."""
        used = len(self._used)
        if used < self.found:
            say(f"{self._key.what}: of the {self.found} finished parts {used} were of use")


@contextmanager
def kept_parts(store: Store, key: Key, *, joined: bool = True) -> Iterator[KeptParts]:
    """Open the parts of a key; however the body ends, what it had finished is written.

    Args:
        store: The scratch store.
        key: Stands for all that decides the parts.
        joined: Whether all is made one entry in the end; not while others write parts of it.
    """
    kept = KeptParts(store, key, usual_pace())
    try:
        yield kept
    except BaseException:
        kept.write()
        raise
    kept.tell_use()
    if joined:
        kept.join()
    else:
        kept.write()
