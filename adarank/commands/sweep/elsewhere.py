"""Cells on a cluster: sent as units, and their results gathered here, where alone DVC works.

A unit that has ended has its results in the scratch store. They are gathered stage by stage by
`dvc repro --single-item STAGE`, with a launcher that takes them from there instead of running the
stage. So DVC's locks never leave this machine, and `dvc repro` has nothing to do afterwards.
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from adarank.commands.sweep.commands import LOGS, repro
from adarank.commands.sweep.log import error_lines, what_happened
from adarank.commands.sweep.outcome import Failure, Outcome, Sent
from adarank.commands.sweep.parts import WHOLE, Cut, send_parts, why_not_cut
from adarank.commands.sweep.show import Board
from adarank.commands.sweep.units import CellUnit, UnitMaker, not_sendable
from adarank.commands.sweep.where import run_here
from adarank.errors import AdaRankError, input_error, run_error
from adarank.pipeline.clusters import fetch, progress
from adarank.pipeline.clusters.base import Cluster, LostError, Order
from adarank.pipeline.clusters.blobs import Blobs, try_store, unreadable_store
from adarank.pipeline.clusters.code import packed_code
from adarank.pipeline.clusters.machines import check_machines, other_versions
from adarank.pipeline.clusters.steps import Unit
from adarank.pipeline.files.hashes import known_sha256
from adarank.pipeline.files.whole import write_bytes, write_json

_FETCH = "python -m adarank.pipeline.clusters.fetch"
_WORKER = "adarank.pipeline.clusters.worker"
_LOOK = "adarank.pipeline.clusters.versions"


class Elsewhere:
    """The machines of a cluster.

    Args:
        cluster: The cluster.
        maker: Makes units of stages.
        environment: Of the units.
        gathering: How many cells' results are gathered at a time.
        cut: Into what units cells and scores are cut.
    """

    room = 10_000  # the cluster itself lets them wait

    def __init__(
        self,
        cluster: Cluster,
        maker: UnitMaker,
        environment: Mapping[str, str],
        gathering: int,
        cut: Cut = WHOLE,
    ):
        self._cluster, self._maker, self._environment = cluster, maker, environment
        self._blobs = maker.blobs
        self._gathering = asyncio.Semaphore(gathering)
        self._cut, self._code = cut, ""
        self._units: dict[str, CellUnit] = {}

    def __str__(self) -> str:
        threads = self._maker.setting["threads"]
        return f"on {self._cluster.name}; each gets {threads} threads"

    async def prepare(self, cells: Mapping[str, tuple[str, ...]], undone: Collection[str]) -> None:
        """See `Where`: check the machines, the first time, then send what units need.

        Raises:
            InputError: The store cannot be used from everywhere, or machines differ.
            RunError: A machine was lost meanwhile, or the store cannot be read.
        """
        # First, for this hashes the code: `packed_code` then refuses an edit made since.
        try:
            self._units = await asyncio.to_thread(self._maker.make, cells, undone)
        except OSError as error:
            raise unreadable_store(self._blobs, error) from None
        known, self._code = self._code, await asyncio.to_thread(_send_code, self._blobs)
        if not known:
            await self._check_machines()
        units = [cell.unit for cell in self._units.values() if not cell.made]
        await asyncio.to_thread(_send_inputs, self._blobs, units)

    @property
    def runs_scoring(self) -> bool:
        """See `Where`."""
        return self._cut.shares > 0

    def scoring(self, stages: Collection[str], board: Board) -> list[str]:
        """See `Where`."""
        reasons = not_sendable(stages)
        for stage, reason in reasons.items():
            board.say(f"{stage}: runs here: {reason}")
        return [stage for stage in stages if stage not in reasons]

    async def _check_machines(self) -> None:
        try:
            reports = await self._cluster.run_on_each(self._order(_LOOK, ""))
        except LostError as error:
            raise run_error(
                "a machine was lost while it was checked",
                got=str(error),
                remedy="run the same command again",
            ) from None
        check_machines(reports, self._maker.versions)

    async def run(self, name: str, stages: Collection[str], board: Board) -> Outcome:
        """See `Where`."""
        began, cell = time.monotonic(), self._units[name]
        outcome, rest = Outcome(dict.fromkeys(stages, "unchanged")), cell
        for stage in [*(step.stage for step in cell.unit.steps), *cell.later]:
            del outcome.happened[stage]
        try:
            while rest is not None:
                sent = None if rest.made else await self._send_cell(rest.unit, board)
                rest = await self._gather(rest, sent, outcome)
            if cell.later and outcome.good:
                async with self._gathering:
                    here = await run_here(cell.later, {}, board)
                outcome.happened |= here.happened
                outcome.failure = here.failure
        except (AdaRankError, OSError) as error:  # of this cell alone: the others go on
            missing = next((s for s in stages if s not in outcome.happened), [*stages][-1])
            outcome.failure = _failure(missing, Sent({}, str(error)), "not sent")
        outcome.seconds = time.monotonic() - began
        return outcome

    async def _send_cell(self, unit: Unit, board: Board) -> Sent:
        """Run a cell's unit, after its parts; what came of a part that failed, if one did."""
        send = partial(self._send, board=board)
        for line in await asyncio.to_thread(why_not_cut, unit, self._cut):
            board.say(line)
        return await send_parts(unit, self._cut, self._blobs, send) or await send(unit)

    async def _send(self, unit: Unit, board: Board) -> Sent:
        """Run a unit on the cluster, and report how it ends."""
        with board.running(f"{unit.name}: waits for a machine") as rename:
            showing = asyncio.create_task(self._show_progress(unit, rename, board))
            try:
                said = await self._cluster.run(unit.name, self._order(_WORKER, unit.to_json()))
            except LostError as error:
                return Sent({}, str(error))
            finally:
                showing.cancel()
                with suppress(asyncio.CancelledError):
                    await showing
                await asyncio.to_thread(progress.clear_progress, self._blobs.shelf, unit.key)
        try:
            report = json.loads(said)
        except ValueError:
            return Sent({}, f"no report, but {said[-300:]!r}")
        if report.get("refused"):
            problem = other_versions(report["host"], report["refused"])
            return Sent(report, str(problem))
        return Sent(report, report.get("broken", ""))

    async def _gather(self, cell: CellUnit, sent: Sent | None, outcome: Outcome) -> CellUnit | None:
        """Take what was made of a unit into the workspace, stage by stage.

        Returns:
            What is to be sent now, where the next stage turns out to be made nowhere; or None.
        """
        unit = cell.unit
        ended = {} if sent is None else sent.report.get("happened", {})
        for number, step in enumerate(unit.steps):
            if sent is not None and step.stage not in ended:
                outcome.failure = _failure(step.stage, sent)
                return None
            code, log = await self._fetch(unit, number)
            text = log.read_text(encoding="utf-8", errors="replace")
            if code and sent is None and fetch.NOT_MADE in text:
                rest = [one.stage for one in unit.steps[number:]]
                return await self._made_again(unit.name, rest)
            if code:
                outcome.failure = Failure(step.stage, log, error_lines(text, step.stage))
                return None
            outcome.happened[step.stage] = what_happened(text).get(step.stage, "ran")
            if sent is not None:
                _keep_log(step.stage, sent)
        return None

    async def _made_again(self, name: str, rest: list[str]) -> CellUnit:
        """Make a unit of the stages that are left of a cell, and send what they need."""
        cell = (await asyncio.to_thread(self._maker.make, {name: rest}, rest))[name]
        await asyncio.to_thread(_send_inputs, self._blobs, [cell.unit])
        return CellUnit(cell.unit, made=False)

    async def _fetch(self, unit: Unit, number: int) -> tuple[int, Path]:
        step = unit.steps[number]
        about, log = LOGS / f"{step.stage}.step.json", LOGS / f"{step.stage}.log"
        write_json(about, asdict(step))
        variables = {"RUN": _FETCH, fetch.STEP: str(about)}
        async with self._gathering:
            return await repro(["--single-item", step.stage], log, variables), log

    async def _show_progress(self, unit: Unit, rename: Callable[[str], None], board: Board) -> None:
        """Show now and then how far a unit is; say once where it runs."""
        said = ""
        while True:
            await asyncio.sleep(progress.EVERY)
            now = await asyncio.to_thread(progress.read_progress, self._blobs.shelf, unit.key)
            if now:
                rename(now)
                place = " ".join(now.split()[:3])
                if place != said:
                    said = place
                    board.say(place)

    def _order(self, module: str, text: str) -> Order:
        return Order(str(self._blobs.shelf), self._code, module, text, self._environment)


def check_store(blobs: Blobs) -> None:
    """Check that this machine can use the store.

    Raises:
        InputError: It cannot.
    """
    try:
        try_store(blobs.shelf)
    except OSError as error:
        raise input_error(
            "the scratch store cannot be written",
            where="ADARANK_SCRATCH",
            got=f"{blobs.shelf}: {error.strerror or error}",
            expected="a folder that all machines share, or s3://bucket/prefix",
            remedy="name another, or see that the bucket is there and your keys may write to it",
        ) from None


def _send_code(blobs: Blobs) -> str:
    data, digest = packed_code()
    path = LOGS / "code.zip"
    write_bytes(path, data)
    _put(blobs, path, digest)
    return digest


def _send_inputs(blobs: Blobs, units: list[Unit]) -> None:
    wanted = {p: d for unit in units for step in unit.steps for p, d in step.inputs.items()}
    for path, digest in wanted.items():
        _put(blobs, Path(path), digest)


def _put(blobs: Blobs, path: Path, digest: str) -> None:
    try:
        blobs.put(path, digest)
    except OSError as error:
        changed = not path.exists() or known_sha256(path) != digest
        what = "an input changed" if changed else "cannot be sent"
        raise input_error(what, where=str(path), got=str(error), remedy="run it again") from None


def _failure(stage: str, sent: Sent, why: str = "") -> Failure:
    """Say why a stage has no results: in its own words, or those of the cluster."""
    log = _keep_log(stage, sent)
    parts = [f"in {name}" for name in sent.parts]
    if sent.report.get("failed") == stage:
        lines = error_lines(sent.report["log"], stage)
        return Failure(stage, log, [*lines, *parts, f"on {sent.report['host']}"])
    lines = [line for line in sent.why.splitlines() if line.strip()]
    why = why or ("not run there" if sent.report else "lost with its machine")
    return Failure(stage, log, [*lines, *parts], why)


def _keep_log(stage: str, sent: Sent) -> Path:
    """Write what a stage printed on its machine where a stage run here leaves it."""
    log = LOGS / f"{stage}.log"
    text = sent.report.get("log") or sent.why
    write_bytes(log, f"on {sent.report.get('host', 'no machine')}\n{text}\n".encode())
    return log
