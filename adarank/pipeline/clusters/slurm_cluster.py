"""A SLURM cluster, through submitit: a job a unit.

Partition, account and time are sbatch's own variables: SBATCH_PARTITION, SBATCH_ACCOUNT,
SBATCH_TIMELIMIT and the like.
"""

import asyncio
import os
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

from adarank.errors import input_error
from adarank.pipeline.clusters import bootstrap
from adarank.pipeline.clusters.base import LostError, Order, Resources, package

STAND_IN = "ADARANK_SLURM"
"""`local` or `debug`: submitit's stand-ins for SLURM, as processes of this machine."""

_POLL = 2.0
_LOST = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REQUEUED", "REVOKED")


class SlurmCluster:
    """SLURM, as this machine's sbatch reaches it.

    Args:
        executor: Submitit's.
        resources: What a unit may use.
    """

    def __init__(self, executor: Any, resources: Resources):
        cloudpickle: Any = import_module("cloudpickle")
        self._executor, self._resources = executor, resources
        cloudpickle.register_pickle_by_value(bootstrap)

    @property
    def name(self) -> str:
        """See `Cluster`."""
        return f"SLURM ({self._executor.cluster}), a job a unit"

    async def run(self, what: str, order: Order) -> str:
        """See `Cluster`."""
        for left in range(self._resources.retries, -1, -1):
            self._executor.update_parameters(name=re.sub(r"[^\w.]+", "-", what)[:100])
            job = self._executor.submit(bootstrap.run_module, **vars(order))
            try:
                while not job.done():
                    await asyncio.sleep(_POLL)
            except asyncio.CancelledError:
                job.cancel(check=False)
                raise
            lost = _lost(job)
            if lost is None:
                return job.result()
            if left == 0 or not lost.startswith(_LOST):
                raise LostError(f"job {job.job_id}: {lost}")
        raise AssertionError("the last try returns or raises")

    async def run_on_each(self, order: Order) -> list[str]:
        """See `Cluster`: SLURM's machines are named when jobs begin, and each job looks then."""
        del order
        return []

    def close(self) -> None:
        """See `Cluster`."""


def join_slurm(resources: Resources, folder: Path) -> SlurmCluster:
    """Make ready to submit jobs.

    Args:
        resources: What a unit may use.
        folder: Where submitit keeps jobs; all machines must see it.

    Raises:
        InputError: submitit or sbatch is not there, or a fraction of a GPU is asked for.
    """
    submitit = package("submitit", "submitit", "slurm")
    cluster = os.environ.get(STAND_IN) or "slurm"
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise input_error(
            "there is no sbatch on this machine",
            where="--where slurm",
            expected="a login node of a SLURM cluster",
            remedy="run it there; `make sweep` alone runs here",
        )
    if resources.gpus != int(resources.gpus):
        raise input_error(
            "SLURM shares no GPU", where="--gpus", got=resources.gpus, expected="a whole number"
        )
    executor = submitit.AutoExecutor(folder=folder.absolute(), cluster=cluster)
    asked = {"cpus_per_task": resources.cpus, "gpus_per_node": int(resources.gpus), "nodes": 1}
    executor.update_parameters(**asked if cluster == "slurm" else {"timeout_min": 24 * 60})
    return SlurmCluster(executor, resources)


def _lost(job: Any) -> str | None:
    """Say why a job has no result; None where it has one."""
    try:
        error = job.exception()
    except Exception as missing:
        return f"{job.state}: {missing}"
    return None if error is None else f"{job.state}: {error}"
