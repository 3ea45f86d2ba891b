"""A Ray cluster: the one that RAY_ADDRESS names, or one that is started on this machine.

Ray core alone is used: tasks that are retried when their worker or node is lost, and not when they
fail. What they need and make travels through the scratch store, not through Ray.
"""

import asyncio
import json
import os
import socket
from contextlib import suppress
from importlib import import_module
from typing import Any

from adarank.errors import input_error
from adarank.pipeline.clusters import bootstrap
from adarank.pipeline.clusters.base import LostError, Order, Resources, package

ADDRESS = "RAY_ADDRESS"
_SECONDS = 5.0
_STOPPING = 25.0


class RayCluster:
    """A Ray cluster that this process has joined.

    Args:
        ray: The package.
        resources: What a unit may use.
    """

    def __init__(self, ray: Any, resources: Resources):
        self._ray, self._resources = ray, resources
        # A worker need not have this project, or has another version of it.
        ray.cloudpickle.register_pickle_by_value(bootstrap)
        self._task = ray.remote(bootstrap.run_module)

    @property
    def name(self) -> str:
        """See `Cluster`."""
        alive = self._alive()
        total = self._ray.cluster_resources()
        return f"Ray, nodes: {len(alive)}, CPUs: {total.get('CPU', 0):g}, GPUs: {_gpus(total):g}"

    async def run(self, what: str, order: Order) -> str:
        """See `Cluster`."""
        task = self._task.options(
            name=what,
            num_cpus=self._resources.cpus,
            num_gpus=self._resources.gpus,
            max_retries=self._resources.retries,
            retry_exceptions=False,
        )
        return await self._result(task.remote(**vars(order)))

    async def run_on_each(self, order: Order) -> list[str]:
        """See `Cluster`."""
        strategies: Any = import_module("ray.util.scheduling_strategies")
        tasks = [
            self._task.options(
                name="look",
                num_cpus=0,  # it waits for no unit
                scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(
                    node["NodeID"], soft=False
                ),
            ).remote(**vars(order))
            for node in self._alive()
            if node["Resources"].get("CPU", 0) > 0
        ]
        return list(await asyncio.gather(*map(self._result, tasks)))

    def check_resources(self) -> None:
        """Check that some machine can run a unit.

        Raises:
            InputError: No machine has so many cores or GPUs.
        """
        nodes = [node["Resources"] for node in self._alive()]
        resources = self._resources
        if any(n.get("CPU", 0) >= resources.cpus and _gpus(n) >= resources.gpus for n in nodes):
            return
        have = ", ".join(f"{n.get('CPU', 0):g} CPUs and {_gpus(n):g} GPUs" for n in nodes)
        raise input_error(
            "no machine of the cluster can run a unit",
            where="--cpus, --gpus",
            got=f"{resources.cpus} CPUs and {resources.gpus:g} GPUs a unit",
            expected=f"at most what one machine has: {have}",
            remedy="ask for less; or, where the cluster starts machines when they are asked for, "
            "add --autoscaled",
        )

    def close(self) -> None:
        """See `Cluster`."""
        self._ray.shutdown()

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    async def _result(self, task: Any) -> str:
        waiting = asyncio.wrap_future(task.future())
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            self._ray.cancel(task)
            # A stage that is asked to end keeps what it has finished.
            with suppress(Exception, asyncio.CancelledError):
                await asyncio.wait_for(waiting, _STOPPING)
            raise
        except self._ray.exceptions.RayTaskError as error:
            # The task itself raised, which is no reason to run it again.
            return json.dumps({"broken": _in_words(error)})
        except self._ray.exceptions.RayError as error:
            raise LostError(_in_words(error)) from None


def join_ray(resources: Resources, *, autoscaled: bool = False) -> RayCluster:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine.

    Args:
        resources: What a unit may use.
        autoscaled: Whether machines come when they are asked for, so that those which are there
            say nothing of what can be had.

    Raises:
        InputError: Ray is not installed, nobody answers, the cluster has another version of Ray
            or Python, or no machine has what a unit asks for.
    """
    ray = package("ray", "Ray", "ray")
    address = os.environ.get(ADDRESS) or None
    if address is not None:
        _check_address(address)
    # Out of memory counts as lost, and is by default retried for ever.
    os.environ.setdefault("RAY_task_oom_retries", str(resources.retries))
    alone = {"include_dashboard": False} if address is None else {}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **alone)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _refused(address, error) from None
    cluster = RayCluster(ray, resources)
    try:
        if not autoscaled:
            cluster.check_resources()
    except BaseException:
        cluster.close()
        raise
    return cluster


def _check_address(address: str) -> None:
    """Ask whether anybody answers: Ray itself asks for a minute, and then ends the process."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    expected = "HOST:PORT of the cluster's head, 6379 unless it was started otherwise; or auto"
    if "://" in address or not host or not port.isdigit():
        raise input_error("no such address", where=ADDRESS, got=address, expected=expected)
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except OSError as error:
        raise input_error(
            "nobody answers at this address",
            where=ADDRESS,
            got=f"{address}: {error.strerror or error}",
            expected=expected,
            remedy="see that `ray start --head` runs there and that its port can be reached; unset "
            f"{ADDRESS} to use this machine alone",
        ) from None


def _refused(address: str | None, error: Exception) -> Exception:
    return input_error(
        "the cluster cannot be joined",
        where=ADDRESS,
        got=f"{address or 'a cluster of this machine'}: {' '.join(str(error).split())}",
        expected="a running cluster of the same versions of Ray and Python",
        remedy="install the same versions on all machines (constraints.txt), or start a cluster "
        "with `ray start --head`",
    )


def _gpus(resources: dict[str, Any]) -> float:
    return float(resources.get("GPU", 0))


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
