"""Small members with known task vectors."""

import torch
from torch import Tensor

from adarank.factors.svd import Update
from adarank.merging.task_vectors import Member

TASKS = ("trees", "rivers", "kings")


def random_stack(tasks: int = 3, rows: int = 6, columns: int = 8, seed: int = 0) -> Tensor:
    """Task vectors of full rank, float64."""
    return torch.randn(
        tasks,
        rows,
        columns,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )


def random_updates(ranks: tuple[int, ...] = (1, 3, 2), seed: int = 0) -> list[Update]:
    """Adapters of unequal ranks and scales for one 12 x 10 weight."""
    draw = torch.Generator().manual_seed(seed)
    return [
        Update(
            torch.randn(rank, 10, generator=draw, dtype=torch.float64),
            torch.randn(12, rank, generator=draw, dtype=torch.float64),
            scale=0.5 + index,
        )
        for index, rank in enumerate(ranks)
    ]


def adapters() -> list[Member]:
    """Three members of two adapted weights; the last member leaves the second alone."""
    first, second = random_updates(), random_updates((2, 2, 2), seed=1)
    return [
        Member(task, {"one.weight": first[i]} | ({"two.weight": second[i]} if i < 2 else {}))
        for i, task in enumerate(TASKS)
    ]


def as_dense(members: list[Member]) -> list[Member]:
    """The same members with their updates multiplied out."""
    return [
        Member(m.task, {n: v.dense() for n, v in m.vectors.items() if isinstance(v, Update)})
        for m in members
    ]
