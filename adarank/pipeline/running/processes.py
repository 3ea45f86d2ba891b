"""Several processes on one job, as `accelerate launch` and torchrun start them."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist

_LONG = timedelta(days=20)  # milliseconds that an int of 32 bits holds


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the other processes while the body runs; alone, do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    # Only small Python objects travel between processes, which gloo carries for GPUs too.
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def held_by_the_first(hold: AbstractContextManager[None]) -> Iterator[None]:
    """Enter a context that may wait in the first process alone; the others wait for it.

    It may wait for hours, for another run's lock. The others must not meet it in a collective
    meanwhile, which gives up after half an hour: they wait at a barrier of their own, without a
    limit to speak of. Should the first process die, they learn of it at once.

    Args:
        hold: Entered by the first process alone, or by the only one.
    """
    if not dist.is_initialized():
        with hold:
            yield
        return
    patient: Any = dist.new_group(timeout=_LONG)
    if dist.get_rank() == 0:
        with hold:
            dist.barrier(patient)
            yield
    else:
        dist.barrier(patient)
        yield
