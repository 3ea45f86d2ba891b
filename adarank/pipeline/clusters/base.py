"""The one interface to clusters: run an order somewhere, and return what it printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from adarank.errors import input_error


@dataclass(frozen=True)
class Order:
    """What a cluster's worker is to run; the arguments of `bootstrap.run_module`.

    Attributes:
        store: The scratch store: a folder or a URL.
        code: The sha256 of the project's code, packed, in the store.
        module: What of it to run.
        text: For the module.
        environment: Added to the worker's own.
    """

    store: str
    code: str
    module: str
    text: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Resources:
    """What a unit may use of a machine.

    Attributes:
        cpus: Cores, which are also its threads.
        gpus: GPUs; a fraction shares one.
        retries: How often it is run again after its machine was lost.
    """

    cpus: int = 1
    gpus: float = 0.0
    retries: int = 3


def package(name: str, called: str, where: str) -> Any:
    """Import a back end's package, which an extra of the project's installs.

    Args:
        name: The package's, and `where` that of the extra.
        called: What people call it.
        where: The back end's name.

    Raises:
        InputError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise input_error(
            f"{called} is not installed",
            where=f"--where {where}",
            remedy=f"pip install 'adarank[{where}]'",
        ) from None


class LostError(Exception):
    """A unit whose machine, or whose process on it, was lost more often than it is retried."""


class Cluster(Protocol):
    """Machines that run orders."""

    @property
    def name(self) -> str:
        """What to call it to people."""
        ...

    async def run(self, what: str, order: Order) -> str:
        """Run an order; retried where its machine is lost, never because it failed.

        Cancelled, it stops the order where it runs.

        Args:
            what: For people who look at the cluster's own list.
            order: The order.

        Returns:
            What the order's module printed, or why it did not come to its end (`broken`).

        Raises:
            LostError: It was lost too often.
        """
        ...

    async def run_on_each(self, order: Order) -> list[str]:
        """Run an order once on every machine there is now; nothing where none can be named.

        Raises:
            LostError: A machine was lost.
        """
        ...

    def close(self) -> None:
        """Leave the cluster; what still runs of it is stopped."""
        ...
