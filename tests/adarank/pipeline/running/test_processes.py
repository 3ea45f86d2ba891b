"""Processes that share work wait for another run's lock together, and no collective times out."""

import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import torch.distributed as dist

from adarank.pipeline.running.processes import held_by_the_first


@contextmanager
def waiting(seconds: float, events: Any) -> Iterator[None]:
    time.sleep(seconds)
    events.put("entered")
    yield
    events.put("left")


def _work(rank: int, port: int, seconds: float, events: Any) -> None:
    # A collective gives up after one second; the lock is free after three.
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=1),
    )
    with held_by_the_first(waiting(seconds, events)):
        told: list[Any] = [None, None]
        dist.all_gather_object(told, rank)
        events.put(f"gathered {told}")
    dist.destroy_process_group()


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_the_others_wait_for_as_long_as_the_first_does(seconds: float) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    events = context.Queue()
    processes = [
        context.Process(target=_work, args=(rank, port, seconds, events)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    told = [events.get(timeout=5) for _ in range(4)]
    assert told[0] == "entered", "nobody begins before"
    assert sorted(told) == ["entered", "gathered [0, 1]", "gathered [0, 1]", "left"]


def test_alone_it_is_the_lock_itself() -> None:
    events = multiprocessing.get_context("fork").Queue()
    with held_by_the_first(waiting(0, events)):
        assert events.get(timeout=5) == "entered"
    assert events.get(timeout=5) == "left"
