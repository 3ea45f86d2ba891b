"""What DVC knows of the study: which stages all cells share, which are a cell's own, what follows.

Nothing here reads params.yaml: the stages and their order are those that `dvc repro` would find.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo

from adarank.errors import input_error

CELL = "finetune"
"""The stage that a study's time goes to; with what follows from it alone it makes a cell."""

SCORING = ("score", "score_task")
"""The stages, of those that cells share, that take longest."""


@dataclass(frozen=True)
class Graph:
    """The pipeline's stages, each in the order in which they may run.

    Attributes:
        common: What cells need: sources, scores, plans.
        cells: The stages of each cell, by its name.
        after: What needs several cells, or none: the summary and whatever is made from it.
        needs: Everything upstream of a stage, near and far.
    """

    common: tuple[str, ...]
    cells: dict[str, tuple[str, ...]]
    after: tuple[str, ...]
    needs: dict[str, frozenset[str]]

    @property
    def scoring(self) -> tuple[str, ...]:
        """Those of the common stages that score modules."""
        return tuple(stage for stage in self.common if _kind(stage) in SCORING)

    def needed_by(self, stages: Collection[str]) -> tuple[str, ...]:
        """List what these stages need, without them, in the order in which it may run."""
        needed = frozenset[str]().union(*(self.needs[stage] for stage in stages))
        return tuple(stage for stage in self.common if stage in needed and stage not in stages)

    def wanting(self, stages: Collection[str], lost: Collection[str]) -> list[str]:
        """List those of the lost stages that some of these need, or are."""
        needed = frozenset(stages).union(*(self.needs[stage] for stage in stages))
        return [stage for stage in self.needs if stage in lost and stage in needed]

    def not_wanting(self, stages: Collection[str], lost: Collection[str]) -> list[str]:
        """List those of these stages that need none of the lost ones, and are none."""
        return [stage for stage in stages if not self.wanting([stage], lost)]


def read_graph() -> Graph:
    """Read the graph of the project in the current folder.

    Raises:
        InputError: dvc.yaml cannot be read with these parameters, or has no cell.
    """
    try:
        with Repo() as repo:
            upstream = repo.index.graph
            needs = {
                stage.addressing: frozenset(s.addressing for s in nx.descendants(upstream, stage))
                for stage in repo.index.stages
            }
    except DvcException as error:
        raise unreadable(error) from None
    return arranged(needs)


def arranged(needs: dict[str, frozenset[str]]) -> Graph:
    """Part stages into common ones, cells and what comes after, from what each needs."""
    order = sorted(needs, key=lambda stage: len(needs[stage]))
    heads = [stage for stage in needs if _kind(stage) == CELL]
    if not heads:
        raise input_error("no cell to run", where="dvc.yaml", expected=f"stages {CELL}@CELL")
    common = frozenset[str]().union(*(needs[head] for head in heads))
    own = {head: [s for s in order if _belongs(s, head, needs, heads)] for head in heads}
    taken = common.union(*own.values())
    return Graph(
        common=tuple(stage for stage in order if stage in common),
        cells={head.partition("@")[2]: tuple(stages) for head, stages in own.items()},
        after=tuple(stage for stage in order if stage not in taken),
        needs=needs,
    )


def stale(stages: Iterable[str]) -> set[str]:
    """Find which stages' own inputs, code or outputs are not what dvc.lock says of them."""
    try:
        # Another command may hold DVC's lock for a moment.
        with Repo(_wait_for_lock=True) as repo:
            return set(repo.status(list(stages)))
    except DvcException as error:
        raise unreadable(error) from None


def _belongs(
    stage: str, head: str, needs: dict[str, frozenset[str]], heads: Collection[str]
) -> bool:
    return stage == head or set(heads) & needs[stage] == {head}


def _kind(stage: str) -> str:
    return stage.partition("@")[0]


def unreadable(error: DvcException) -> Exception:
    """Describe a project that DVC cannot read."""
    return input_error(
        "DVC cannot read the project",
        got=" ".join(str(error).split()),
        remedy="run from the project's top folder; `python -m stages.check` checks params.yaml",
    )
