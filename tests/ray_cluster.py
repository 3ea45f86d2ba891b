"""A Ray cluster of two nodes on this machine, each with one core, in a process of its own.

A process of its own, since a test that joins a cluster cannot leave it without a trace.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


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
def two_nodes(**environment: str) -> Iterator[TwoNodes]:
    """Start a cluster whose workers have this environment added; skipped without Ray."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'adarank[ray]'")
    # A worker finds the project's code in what it was sent, and nowhere else.
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        cwd="/",
        env={**plain, "RAY_DISABLE_IMPORT_WARNING": "1", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        yield TwoNodes(process.stdout.readline().strip(), process)
    finally:
        process.stdin.close()
        process.wait(60)


def main() -> None:
    """Hold a cluster until standard input ends."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    sys.stdout.write(f"{cluster.address}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if line.strip() == "kill":
            (second,) = (n for n in cluster.list_all_nodes() if n is not cluster.head_node)
            cluster.remove_node(second, allow_graceful=False)
            sys.stdout.write("killed\n")
        else:
            cluster.add_node(**node)
            sys.stdout.write("added\n")
        sys.stdout.flush()
    cluster.shutdown()


if __name__ == "__main__":
    main()
