"""The places that a sweep can be sent to, made ready: this machine, Ray, SLURM."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path

from adarank.commands.sweep.elsewhere import Elsewhere, check_store
from adarank.commands.sweep.local_workers import (
    THREADS,
    cores,
    visible_gpus,
    worker_environment,
)
from adarank.commands.sweep.parts import WHOLE, Cut
from adarank.commands.sweep.units import UnitMaker
from adarank.commands.sweep.where import Here, Where
from adarank.pipeline.clusters.base import Cluster, Resources
from adarank.pipeline.clusters.blobs import open_blobs
from adarank.pipeline.clusters.versions import versions_here
from adarank.pipeline.scratch.shelf import Shelf

_PASSED_ON = ("ADARANK_SCRATCH_SECONDS", "AWS_ENDPOINT_URL")
"""Variables that units get as they are here; keys to a store are each machine's own."""


class Kind(Enum):
    """Where cells run."""

    local = "local"
    ray = "ray"
    slurm = "slurm"


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        kind: Where cells run.
        jobs: How many at a time, here; of a cluster, how many are gathered at a time.
        resources: Of a cluster, what each gets.
        autoscaled: Whether the cluster starts machines when they are asked for.
        cut: Of a cluster, into what units cells and scores are cut.
    """

    kind: Kind = Kind.local
    jobs: int = 2
    resources: Resources = field(default_factory=Resources)
    autoscaled: bool = False
    cut: Cut = WHOLE

    @property
    def command(self) -> str:
        """What to type to go on; with other cores or GPUs, nothing kept would be found."""
        here = f"make sweep JOBS={self.jobs}"
        if self.kind is Kind.local:
            return here
        usual = asdict(Resources())
        given = {k.upper(): v for k, v in asdict(self.resources).items() if v != usual[k]}
        given |= {"AUTOSCALED": 1} if self.autoscaled else {}
        given |= {k.upper(): v for k, v in asdict(self.cut).items() if v}
        return f"{here} WHERE={self.kind.value}" + "".join(f" {k}={v:g}" for k, v in given.items())


@contextmanager
def place(options: Options, cells: int) -> Iterator[Where]:
    """Make a place ready, and leave it in the end.

    Raises:
        InputError: It cannot be used.
    """
    if options.kind is Kind.local:
        yield Here(_environments(min(options.jobs, cells)))
        return
    blobs = open_blobs()
    check_store(blobs)
    cluster = _joined(options)
    try:
        setting = {"threads": options.resources.cpus, "gpu": options.resources.gpus > 0}
        maker = UnitMaker(blobs, setting, versions_here())
        environment, gathering = _environment(options, blobs.shelf), min(options.jobs, cores())
        yield Elsewhere(cluster, maker, environment, gathering, options.cut)
    finally:
        cluster.close()


def _joined(options: Options) -> Cluster:
    # Here: neither is installed with the project, and each takes a second to import.
    if options.kind is Kind.ray:
        from adarank.pipeline.clusters.ray_cluster import join_ray

        return join_ray(options.resources, autoscaled=options.autoscaled)
    from adarank.pipeline.clusters.slurm_cluster import join_slurm

    return join_slurm(options.resources, Path("timings/slurm"))


def _environment(options: Options, shelf: Shelf) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    hidden = {} if options.resources.gpus else {"CUDA_VISIBLE_DEVICES": ""}
    threads = {THREADS: str(options.resources.cpus)}
    return {**passed, **hidden, **threads, "ADARANK_SCRATCH": str(shelf)}


def _environments(jobs: int) -> list[dict[str, str]]:
    gpus = visible_gpus(os.environ) if jobs > 1 else []
    return [worker_environment(worker, jobs, cores(), gpus, os.environ) for worker in range(jobs)]
