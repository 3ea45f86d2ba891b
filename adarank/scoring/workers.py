"""Sharing work among the processes of torch.distributed; a single process has it all."""

from collections.abc import Sequence
from typing import TypeVar

import torch.distributed as dist

Item = TypeVar("Item")
Value = TypeVar("Value")


def my_share(items: Sequence[Item]) -> list[Item]:
    """Return this process's part of the items: every world-size-th, from its rank on."""
    if not _together():
        return list(items)
    return list(items[dist.get_rank() :: dist.get_world_size()])


def gathered(part: dict[str, Value]) -> dict[str, Value]:
    """Join the parts of all processes; each gets the whole."""
    if not _together():
        return part
    parts: list[dict[str, Value]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, part)
    return {key: value for one in parts for key, value in one.items()}


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return not _together() or dist.get_rank() == 0


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
