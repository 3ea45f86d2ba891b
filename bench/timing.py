"""Wall times of several tasks, taken in turns so that a busy moment hits all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

Task = Callable[[int], Any]


@dataclass(frozen=True)
class Timed:
    """One task's repeats.

    Attributes:
        seconds: Wall time of each repeat.
        results: What each repeat returned.
    """

    seconds: list[float] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median wall time in seconds."""
        return statistics.median(self.seconds)


def interleaved(tasks: Mapping[str, Task], repeats: int, *, warm: bool = False) -> dict[str, Timed]:
    """Time tasks in rounds: every round runs each task once, in the given order.

    Args:
        tasks: By name; each is called with the number of the round, from 0 on.
        repeats: Rounds.
        warm: Whether each task runs once, untimed, before the first round: for tasks of under
            a second, where first-time allocations would show.
    """
    if warm:
        for task in tasks.values():
            task(0)
    timed = {name: Timed() for name in tasks}
    for number in range(repeats):
        for name, task in tasks.items():
            began = _now()
            result = task(number)
            timed[name].seconds.append(_now() - began)
            timed[name].results.append(result)
    return timed


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
