"""A Ray cluster of two nodes on this machine, each with one core, in a process of its own.

Of its own, since a process that holds a cluster is part of it: the sweeps that join it are others.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass
class TwoNodes:
    """A running cluster.

    Attributes:
        address: For RAY_ADDRESS.
        process: That holds it.
    """

    address: str
    process: "subprocess.Popen[str]"

    def kill_node(self) -> None:
        """Kill the node that is not the head, with all that runs there."""
        assert self._say("kill") == "killed"

    def add_node(self) -> None:
        """Add a node in its place."""
        assert self._say("add") == "added"

    def _say(self, order: str) -> str:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Start a cluster."""
    # A worker finds the project's code in what it was sent, and nowhere else.
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).absolute())],
        cwd="/",
        env=plain,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        address = process.stdout.readline().strip()
        assert address, "the cluster did not start"  # else a sweep would start one of its own
        yield TwoNodes(address, process)
    finally:
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> None:
    """Hold a cluster until standard input ends."""
    utils: Any = import_module("ray.cluster_utils")
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    head = {**node, "include_dashboard": False}
    cluster = utils.Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(**node)
    _say(cluster.address)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(second, allow_graceful=False)
            _say("killed")
        else:
            second = cluster.add_node(**node)
            _say("added")
    cluster.shutdown()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
