"""Several processes on one job, as `accelerate launch` and torchrun start them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist


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
