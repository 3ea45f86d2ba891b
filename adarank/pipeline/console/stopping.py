"""Ending on SIGINT and SIGTERM: at once, with what was finished kept, and nothing half-written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from adarank.pipeline.files.places import scratch_folder, scratch_url

_RESUMABLE = ("score", "finetune", "evaluate", "merge")
_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal that ends the command.

    Args:
        number: The signal's number.
    """

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def what_next(name: str) -> str:
    """Describe what to type after a command was stopped, and what is not lost.

    Args:
        name: The stage, and its cell if it has one.
    """
    if not name.startswith(_RESUMABLE):
        return "the same command starts from the beginning"
    place = scratch_url() or scratch_folder()
    if place is None:
        return "nothing is kept (ADARANK_SCRATCH=off): the same command starts from the beginning"
    return f"what was finished is kept in {place}: the same command goes on from there"


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the signals into `Stopped` while the body runs; later ones are let pass."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        # What ends cleanly must not be ended again half-way.
        for other in _STOPPING:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
