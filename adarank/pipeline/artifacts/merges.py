"""The part `merges` of metrics/summary.json, read strictly."""

from typing import Annotated

from adarank.pipeline.artifacts.part import Number, Part, Verdict
from adarank.pipeline.files.whole import EMPTY_AS_NULL


class Mean(Part):
    """A mean over `n` seeds with its 95 % interval."""

    n: int
    mean: Number
    low: Number | None
    high: Number | None


class TaskValue(Part):
    """A merge on one task: its headline metric, and as a share of the member's own."""

    task: str
    value: Number | None
    normalised: Number | None


class OwnValue(Part):
    """A task's own member, unmerged: its headline metric."""

    task: str
    metric: str
    value: Number | None


class Merge(Part):
    """One merge over its tasks.

    Attributes:
        merge: Its name in study.merge; `method` is the method's.
        transductive: Whether it learned on test's rows, without labels.
        settings: Parameters that were chosen on validation or differ by name, in words.
        parameters: What its adapter costs; None where it is no adapter.
        mean: Over the tasks, where they share a unit; `normalised` as a share of the members' own,
            `gap` less the members' own.
        failed: Seeds without a merge, each in words.
    """

    merge: str
    method: str
    transductive: bool
    settings: str
    parameters: int | None
    tasks: tuple[TaskValue, ...]
    mean: Mean | None
    normalised: Mean | None
    gap: Mean | None
    failed: Annotated[tuple[str, ...], EMPTY_AS_NULL]

    @property
    def shown(self) -> str:
        """The name that tables show."""
        return f"{self.merge} (transductive)" if self.transductive else self.merge


class MergeComparison(Part):
    """A merge less the reference: each seed's mean over the tasks, paired by seed."""

    merge: str
    against: str
    n: int
    difference: Number | None
    low: Number | None
    high: Number | None
    t_p: Number | None
    t_p_holm: Number | None
    verdict: Verdict
    sentence: str


class KeptComponents(Part):
    """Which components a learned merge of the first seed keeps; see artifacts.merged.Kept."""

    merge: str
    weight: str
    task: str
    mask: str
    scaling: float


class Merges(Part):
    """All merges of a study.

    Attributes:
        members: The plan whose adapters are merged: uniform-4.
        metric: What a mean over tasks is a mean of; None where they share no unit.
        own: Each task's own member, unmerged.
        own_mean: Their mean over tasks.
    """

    reference: str
    members: str
    metric: str | None
    seeds: tuple[int, ...]
    own: tuple[OwnValue, ...]
    own_mean: Mean | None
    merges: tuple[Merge, ...]
    comparisons: Annotated[tuple[MergeComparison, ...], EMPTY_AS_NULL]
    kept: Annotated[tuple[KeptComponents, ...], EMPTY_AS_NULL]
    caveats: Annotated[tuple[str, ...], EMPTY_AS_NULL]

    @property
    def metrics(self) -> dict[str, str]:
        """Each task's headline metric, in the order of the tasks."""
        return {one.task: one.metric for one in self.own}
