"""What comes of a sweep's parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adarank.commands.sweep.log import Happened


@dataclass(frozen=True)
class Failure:
    """A stage that failed.

    Attributes:
        stage: Its name.
        log: Where everything that it printed is.
        lines: Its error in its own words.
        why: In a few words, where it did not fail by itself.
    """

    stage: str
    log: Path
    lines: list[str]
    why: str = ""


@dataclass(frozen=True)
class Sent:
    """What came back of a unit on a cluster.

    Attributes:
        report: Its worker's; empty where there is none.
        why: Why there is none, or why the worker could not run it.
        parts: The units that failed of a cell in parts, the report's first.
    """

    report: Mapping[str, Any]
    why: str = ""
    parts: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What came of a cell, or of one of the stages that follow the cells.

    Attributes:
        happened: To each of its stages that ended well.
        seconds: That its commands took, by the clock.
        failure: The stage that ended it, if one did.
        lacks: What it needed and did not get, if it was not run for that.
    """

    happened: dict[str, Happened] = field(default_factory=dict)
    seconds: float = 0.0
    failure: Failure | None = None
    lacks: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether its results are there."""
        return not (self.failure or self.lacks)

    def __str__(self) -> str:
        if self.failure:
            why = f": {self.failure.why}" if self.failure.why else ""
            return f"FAILED in {self.failure.stage}{why}"
        if self.lacks:
            return f"not run, it needs {', '.join(self.lacks)}"
        return ", ".join(f"{stage.partition('@')[0]} {h}" for stage, h in self.happened.items())
