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

    @property
    def scores(self) -> bool:
        """Whether stages that score run there as cells do; else here, with what else they share."""
        ...

    async def prepare(self, cells: Mapping[str, tuple[str, ...]], undone: Collection[str]) -> None:
        """Make ready to run cells.

        Args:
            cells: The stages of each that is to run, by its name.
            undone: The stages, of these, that are not up to date.
        """
        ...

    async def run(self, name: str, stages: Collection[str], board: Board) -> Outcome:
        """Run the stages of a cell one after the other until one fails."""
        ...


class Here:
    """This machine: a worker a share, each with its threads and its GPU.

    Args:
        shares: The environment variables of each worker.
    """

    scores = False

    def __init__(self, shares: list[dict[str, str]]):
        self._free: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        for share in shares:
            self._free.put_nowait(share)
        self._shares = shares

    def __str__(self) -> str:
        return f"{self.room} at a time; each gets {self._shares[0]}"

    @property
    def room(self) -> int:
        """See `Where`."""
        return len(self._shares)

    async def prepare(self, cells: Mapping[str, tuple[str, ...]], undone: Collection[str]) -> None:
        """See `Where`: there is nothing to do."""

    async def run(self, name: str, stages: Collection[str], board: Board) -> Outcome:
        """See `Where`."""
        del name
        share = await self._free.get()
        try:
            return await run_here(stages, share, board)
        finally:
            self._free.put_nowait(share)


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
