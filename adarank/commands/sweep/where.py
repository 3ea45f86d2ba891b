"""Where a sweep's cells run: the one interface, and this machine behind it."""

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Protocol

from adarank.commands.sweep.commands import LOGS, repro
from adarank.commands.sweep.log import error_lines, what_happened
from adarank.commands.sweep.outcome import Failure, Outcome
from adarank.commands.sweep.show import Board


class Where(Protocol):
    """Machines that cells run on."""

    @property
    def room(self) -> int:
        """How many cells may be under way at a time."""
        ...

    async def prepare(self, cells: Mapping[str, tuple[str, ...]], undone: Collection[str]) -> None:
        """Make ready to run cells.

        Args:
            cells: The stages of each that is to run, by its name.
            undone: The stages, of these, that are not up to date.
        """
        ...

    @property
    def runs_scoring(self) -> bool:
        """Whether scorings run there as cells do; or here, with what else the cells share."""
        ...

    def scoring(self, stages: Collection[str], board: Board) -> list[str]:
        """List those of the scoring stages that can run there."""
        ...

    async def run(self, name: str, stages: Collection[str], board: Board) -> Outcome:
        """Run the stages of a cell one after the other until one fails."""
        ...


class Here:
    """This machine: workers, each with its threads and its GPU.

    Args:
        environments: What each worker's commands get in theirs.
    """

    runs_scoring = False

    def __init__(self, environments: list[dict[str, str]]):
        self._free: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        for environment in environments:
            self._free.put_nowait(environment)
        self._environments = environments

    def __str__(self) -> str:
        return f"{self.room} at a time; each gets {self._environments[0]}"

    @property
    def room(self) -> int:
        """See `Where`."""
        return len(self._environments)

    async def prepare(self, cells: Mapping[str, tuple[str, ...]], undone: Collection[str]) -> None:
        """See `Where`: there is nothing to do."""

    def scoring(self, stages: Collection[str], board: Board) -> list[str]:  # noqa: ARG002
        """See `Where`: none, one command brings up to date all that cells share."""
        return []

    async def run(self, name: str, stages: Collection[str], board: Board) -> Outcome:
        """See `Where`."""
        del name
        environment = await self._free.get()
        try:
            return await run_here(stages, environment, board)
        finally:
            self._free.put_nowait(environment)


async def run_here(stages: Collection[str], variables: Mapping[str, str], board: Board) -> Outcome:
    """Run stages on this machine one after the other, until one fails."""
    outcome, began = Outcome(), time.monotonic()
    for stage in stages:
        log = LOGS / f"{stage}.log"
        with board.running(stage):
            code = await repro(["--single-item", stage], log, variables)
        text = log.read_text(encoding="utf-8", errors="replace")
        outcome.seconds = time.monotonic() - began
        if code:
            outcome.failure = Failure(stage, log, error_lines(text, stage))
            break
        outcome.happened[stage] = what_happened(text).get(stage, "ran")
    return outcome
