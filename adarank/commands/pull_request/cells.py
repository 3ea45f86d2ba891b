"""How the cells' results moved, which of them fell too far, and what noise could do alone."""

from dataclasses import dataclass
from typing import Literal

from adarank.commands.pull_request.summary import Cell, Comparison, Estimate, Summary

# The results are rounded to six digits, so a fall of exactly the threshold is not beyond it.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class CellChange:
    """A cell on both sides.

    Attributes:
        name: The cell.
        base: Its metric at the base; None where it has none.
        head: Its metric now; None where it has none.
        drop: By how much it got worse, in the metric's own unit; negative where it got better,
            None where a side is missing.
        state: Whether it is on both sides, or which one has it.
        newly_failed: Seeds that failed now and had not at the base, each with its error.
        beyond: Whether the fall is more than what is allowed.
    """

    name: str
    base: Estimate | None
    head: Estimate | None
    drop: float | None
    state: Literal["kept", "added", "removed"]
    newly_failed: list[str]
    beyond: bool

    @property
    def lost(self) -> bool:
        """Whether results of seeds that it had are gone."""
        gone = self.base is not None and self.head is None
        return self.state == "kept" and (gone or bool(self.newly_failed))

    @property
    def worse(self) -> bool:
        """Whether it fails a pull request that has a threshold.

        A result that is gone, or a mean of fewer seeds, cannot be said not to have fallen.
        """
        return self.beyond or self.lost


def compared_metric(base: Summary | None, head: Summary) -> str:
    """Choose the metric by which both sides are compared: the base's headline, if head has it.

    A headline that was renamed must not hide a fall of the one before.
    """
    known = {name for cell in head.cells.values() for name in cell.metrics}
    return base.headline if base and base.headline in known else head.headline


def cell_changes(base: Summary | None, head: Summary, max_drop: float | None) -> list[CellChange]:
    """Put every cell of either side beside itself.

    Args:
        base: The base's results; None where it has none.
        head: The results now.
        max_drop: Most that the compared metric may get worse, in its own unit; None for no limit.

    Returns:
        A row a cell, those of the base first.
    """
    metric = compared_metric(base, head)
    better = base.better if base and metric == base.headline else head.better
    before = base.cells if base else {}
    return [
        _change(name, before.get(name), head.cells.get(name), metric, better, max_drop)
        for name in dict.fromkeys((*before, *head.cells))
    ]


def _change(
    name: str,
    before: Cell | None,
    now: Cell | None,
    metric: str,
    better: str,
    max_drop: float | None,
) -> CellChange:
    old = before.metrics.get(metric) if before else None
    new = now.metrics.get(metric) if now else None
    drop = None
    if old and new:
        drop = (old.mean - new.mean) * (1 if better == "higher" else -1)
    beyond = drop is not None and max_drop is not None and drop > max_drop + _ROUNDING
    state = "kept" if before and now else "added" if now else "removed"
    return CellChange(name, old, new, drop, state, _newly_failed(before, now), beyond)


def _newly_failed(before: Cell | None, now: Cell | None) -> list[str]:
    known = {failure.seed for failure in before.failed} if before else set()
    failed = now.failed if now else []
    return [f"seed {one.seed}: {one.error}" for one in failed if one.seed not in known]


def noise(change: CellChange, confidence: float) -> str:
    """Describe whether a fall is more than the base's interval over its seeds, and by how much.

    The margin is what is left between the fall and half the interval's width. Both sides train
    with the same seeds, yet changed code or parameters draw other numbers from them, so a
    difference within the interval is no sign of anything.
    """
    old, drop = change.base, change.drop
    if old is None or drop is None or drop <= 0:
        return ""
    if old.low is None or old.high is None:
        return "one seed: no interval to hold it against"
    half = (old.high - old.low) / 2
    place = "within" if drop <= half else "outside"
    side = "below" if drop <= half else "beyond"
    return (
        f"{place} noise, {abs(half - drop):.4g} {side} the base's {100 * confidence:g} % "
        f"interval of ±{half:.4g} over {old.n} seeds"
    )


def verdict_changes(
    base: Summary | None, head: Summary
) -> list[tuple[Comparison | None, Comparison | None]]:
    """Pair the comparisons of both sides whose verdict is not the same, or that one side lacks."""
    before = {one.key: one for one in base.comparisons} if base else {}
    now = {one.key: one for one in head.comparisons}
    pairs = [(before.get(key), now.get(key)) for key in dict.fromkeys((*before, *now))]
    return [(old, new) for old, new in pairs if not (old and new and old.verdict == new.verdict)]
