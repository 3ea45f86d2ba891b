"""The two nodes that tests of a Ray cluster run on; skipped without Ray."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.two_nodes import TwoNodes, two_nodes

WITHOUT = "Ray is not installed: pip install 'adarank[ray]'"


@contextmanager
def ray_nodes() -> Iterator[TwoNodes]:
    """Start a cluster."""
    pytest.importorskip("ray", reason=WITHOUT)
    with two_nodes() as nodes:
        yield nodes
