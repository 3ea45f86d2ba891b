"""What a unit of a cluster costs beside its work: seconds by the clock, and CPU seconds.

Units run one after the other: as plain processes of this machine, with nothing between, and as
tasks of a Ray cluster. The empty unit runs `mkdir`. The part trains nothing: its run is in the
store, so it costs what every training unit costs before and after its runs.
"""

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from adarank.pipeline.clusters.base import Order, Resources
from adarank.pipeline.clusters.blobs import Blobs, files_below
from adarank.pipeline.clusters.bootstrap import run_module
from adarank.pipeline.clusters.code import packed_code
from adarank.pipeline.clusters.ray_cluster import join_ray
from adarank.pipeline.clusters.steps import Step, Unit, hashes_below
from adarank.pipeline.clusters.versions import versions_here
from adarank.pipeline.scratch.shelf import FolderShelf

Run = Callable[[str, Order], Awaitable[str]]
"""Runs an order, given a name for it."""

_WORKER = "adarank.pipeline.clusters.worker"
_PART = "python -m stages.finetune --task questions --strategy explicit --budget 2 --only seed:0:1"


@dataclass(frozen=True)
class Cost:
    """Of a unit.

    Attributes:
        wall: Seconds by the clock, the median.
        cpu: CPU seconds of all processes, the mean.
    """

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s by the clock, {self.cpu:.2f} CPU seconds"


class Costs:
    """Units in a folder of their own.

    Args:
        folder: Gets the store.
        project: A project as it stands before its one cell is trained; None for no parts.
    """

    def __init__(self, folder: Path, project: Path | None = None):
        self._folder, self._project = folder, project
        self._store = folder / "store"
        self._blobs = Blobs(FolderShelf(self._store))
        data, self._code = packed_code()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "code.zip").write_bytes(data)
        self._blobs.put(folder / "code.zip", self._code)
        self._number = 0

    async def measure(
        self, count: int, nodes: psutil.Process | None = None
    ) -> AsyncIterator[tuple[str, Cost]]:
        """Run empty units and, of a project, parts, here and on the cluster that RAY_ADDRESS names.

        Args:
            count: Of each kind; the first of a kind, whose worker starts, is left out.
            nodes: The process that holds the cluster; without it, Ray is not measured.
        """
        kinds: dict[str, Callable[[], Unit]] = {"an empty unit": self._empty}
        if self._project is not None:
            kinds["a part whose run is in the store"] = self._part
        for what, make in kinds.items():
            yield f"{what}, local process", await self._cost(_local, make, count, None)
        if nodes is not None:
            cluster = join_ray(Resources())
            for what, make in kinds.items():
                yield f"{what}, Ray", await self._cost(cluster.run, make, count, nodes)
            cluster.close()

    async def _cost(
        self, run: Run, make: Callable[[], Unit], count: int, nodes: psutil.Process | None
    ) -> Cost:
        # The first unit starts a worker, or trains what the others find.
        await self._run(run, make())
        before, began = _cpu(nodes), time.monotonic()
        seconds = [await self._run(run, make()) for _ in range(count)]
        took, used = time.monotonic() - began, _cpu(nodes) - before
        if nodes is not None:
            # What an idle cluster uses by itself is no unit's.
            idle, began = _cpu(nodes), time.monotonic()
            await asyncio.sleep(10)
            used -= took * (_cpu(nodes) - idle) / (time.monotonic() - began)
        return Cost(median(seconds), used / count)

    async def _run(self, run: Run, unit: Unit) -> float:
        environment = {"ADARANK_SCRATCH": str(self._store), "OMP_NUM_THREADS": "1"}
        order = Order(str(self._store), self._code, _WORKER, unit.to_json(), environment)
        began = time.monotonic()
        said = await run(unit.name, order)
        seconds = time.monotonic() - began
        assert json.loads(said).get("happened") == {unit.steps[0].stage: "ran"}, said
        return seconds

    def _empty(self) -> Unit:
        self._number += 1
        out = f"out{self._number}"
        step = Step("empty", f"mkdir {out}", {}, "", {}, (), (out,), {})
        return Unit(out, (step,), "", versions_here())

    def _part(self) -> Unit:
        assert self._project is not None
        self._number += 1
        with chdir(self._project):
            paths = tuple(path.as_posix() for path in files_below(Path("data")))
            inputs = hashes_below(paths)
            for path, digest in inputs.items():
                self._blobs.put(Path(path), digest)
            params = Path("params.yaml").read_text(encoding="utf-8")
        # The number makes each a step of its own, which no record says is done.
        step = Step("part", _PART, {}, "", inputs, (), (), {"number": self._number})
        return Unit(f"part{self._number}", (step,), params, versions_here())


async def _local(name: str, order: Order) -> str:
    del name
    return await asyncio.to_thread(run_module, **vars(order))


def _cpu(nodes: psutil.Process | None) -> float:
    """Sum CPU seconds: of this process, its children that ended, a cluster's processes."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(use.ru_utime + use.ru_stime for use in uses)
    for process in [] if nodes is None else [nodes, *nodes.children(recursive=True)]:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
