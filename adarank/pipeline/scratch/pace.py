"""When to write unfinished work again: rarely enough to cost little."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite

from adarank.errors import input_error

_SECONDS = 30.0
_SHARE = 100
"""Work lasts at least so many times as long as writing what comes of it: 1 % at most."""


class Pace:
    """Tells when a write is due.

    Args:
        seconds: Least time between two writes, and from the start to the first; 0 to write
            everything at once, whatever it costs.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._next

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Measure the time of a write, which decides how long until the next."""
        began = time.monotonic()
        yield
        now = time.monotonic()
        self._next = now + (max(self._seconds, _SHARE * (now - began)) if self._seconds else 0)


def usual_pace() -> Pace:
    """Make the pace that ADARANK_SCRATCH_SECONDS names, by default 30 seconds.

    Raises:
        InputError: It is no such number.
    """
    given = os.environ.get("ADARANK_SCRATCH_SECONDS") or str(_SECONDS)
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if seconds < 0 or not isfinite(seconds):
        raise input_error(
            "no such time",
            where="ADARANK_SCRATCH_SECONDS",
            got=given,
            expected="seconds of work that may be lost, 0 or more",
        )
    return Pace(seconds)
