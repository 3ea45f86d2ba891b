"""What turns freed goes back to the system, though small results that outlive them lie between."""

import ctypes
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import psutil
import pytest

from adarank.scoring.engines.memory import release_freed
from adarank.scoring.signals import gradients
from tests.adarank.scoring.toys import MODULE, OBJECTIVE, Toy, toy_batch

MIB = 2**20
glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc"
)


@glibc
def test_holes_between_small_results_are_given_back() -> None:
    # In a process of its own: here, the heap may have room for all of it already.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_given_back).result() > 60 * MIB


def _given_back() -> int:
    process = psutil.Process()
    # Below the least size that glibc maps apart, so that all lie in its heap.
    large: list[np.ndarray] = []
    small: list[np.ndarray] = []
    for _ in range(1500):
        large.append(np.ones(64 * 1024, dtype=np.uint8))
        small.append(np.ones(200, dtype=np.uint8))
    large.clear()
    before = process.memory_info().rss
    release_freed()
    assert all(one.all() for one in small)
    return before - process.memory_info().rss


def test_every_turn_of_gradients_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[int] = []
    monkeypatch.setattr(gradients, "release_freed", lambda: released.append(1))
    turns = [[MODULE], [MODULE], [MODULE]]
    found = list(gradients.mean_gradients(Toy(), [toy_batch(4)], turns, OBJECTIVE))
    assert len(found) == len(released) == 3
