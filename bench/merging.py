"""Time and peak memory of a merge: adapters in core space against their dense matrices.

    python -m bench.merging

Random members of the shapes of MiniLM-L6 (36 matrices: 24 of 384 x 384, 12 of 384 x 1536), merged
weight by weight as `adarank merge` does it; then one square weight for several sizes, numbers of
tasks and ranks. Every figure is of its own process, whose peak memory is what the merge added.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from adarank.factors.svd import Update
from adarank.merging.closed_form import MergedWeights
from adarank.merging.registry import METHODS
from adarank.merging.task_vectors import Member, Vector

MINILM = ([(384, 384)] * 4 + [(1536, 384), (384, 1536)]) * 6
METHODS_SHOWN = ("task_arithmetic", "tsv_m", "cart", "ties")


@dataclass(frozen=True)
class Case:
    """One merge.

    Attributes:
        shapes: Of the weights.
        tasks: Members.
        rank: Of the adapters; None: whole models.
        dense: Whether adapters are multiplied out first.
        method: Its name.
    """

    shapes: tuple[tuple[int, int], ...]
    tasks: int
    rank: int | None
    dense: bool
    method: str


class Drawn(Mapping[str, Vector]):
    """Random task vectors, drawn when they are asked for, as a file's are read."""

    def __init__(self, case: Case, task: int) -> None:
        """Nothing is drawn yet."""
        self._case, self._task = case, task

    def __getitem__(self, name: str) -> Vector:
        rows, columns = self._case.shapes[int(name)]
        draw = torch.Generator().manual_seed(1000 * self._task + int(name))
        if self._case.rank is None:
            return 0.01 * torch.randn(rows, columns, generator=draw)
        a = torch.randn(self._case.rank, columns, generator=draw)
        b = torch.randn(rows, self._case.rank, generator=draw)
        return b @ a if self._case.dense else Update(a, b)

    def __iter__(self) -> Iterator[str]:
        return (str(index) for index in range(len(self._case.shapes)))

    def __len__(self) -> int:
        return len(self._case.shapes)


def measure(case: Case) -> tuple[float, float]:
    """Merge in a process of its own; gives CPU seconds, and MiB of peak memory added."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (case,))


def _measured(case: Case) -> tuple[float, float]:
    torch.set_num_threads(1)
    torch.linalg.svd(torch.eye(4))  # what the first call allocates is not the merge's
    members = [Member(f"task {task}", Drawn(case, task)) for task in range(case.tasks)]
    before, start = _peak(), time.process_time()
    merged = MergedWeights(members, METHODS[case.method], {})
    for name in merged:
        _use(merged[name])
    return time.process_time() - start, _peak() - before


def _use(vector: Vector) -> Tensor:
    return vector.b if isinstance(vector, Update) else vector


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print both tables."""
    shapes = tuple(MINILM)
    table = _table("four members of MiniLM-L6's shapes: CPU seconds, MiB added", "method")
    for method in METHODS_SHOWN:
        table.add_row(
            method,
            *_figures(
                lambda rank, dense, m=method: Case(shapes, 4, rank, dense, m),
                (8, False),
                (8, True),
                (None, True),
            ),
        )
    _print(table)
    grown = _table("tsv_m of one d x d weight: CPU seconds, MiB added", "d, tasks, rank")
    for d, tasks, rank in (
        (768, 4, 8),
        (1536, 4, 8),
        (1536, 8, 8),
        (1536, 4, 32),
        (1536, 8, 32),
    ):
        grown.add_row(
            f"{d}, {tasks}, {rank}",
            *_figures(
                lambda r, dense, n=tasks, side=d: Case(((side, side),), n, r, dense, "tsv_m"),
                (rank, False),
                (rank, True),
                (None, True),
            ),
        )
    _print(grown)


def _figures(
    case: Callable[[int | None, bool], Case], *columns: tuple[int | None, bool]
) -> list[str]:
    found = [measure(case(rank, dense)) for rank, dense in columns]
    return [f"{seconds:.2f} s, {memory:.0f} MiB" for seconds, memory in found]


def _table(title: str, first: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for column in ("adapters, core space", "adapters, dense", "whole models"):
        table.add_column(column, justify="right")
    return table


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 100
    console.print(table)


if __name__ == "__main__":
    main()
