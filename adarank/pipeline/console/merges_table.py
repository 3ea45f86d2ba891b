"""The study's merges as a table for a terminal."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from adarank.comparison.wording import digits, is_share, short_verdict
from adarank.pipeline.artifacts.merges import Mean, Merge, Merges


@dataclass(frozen=True)
class MergesTable:
    """The summary's merges for rich: a row a merge, then the verdicts and what weakens them.

    Attributes:
        merges: The summary's part.
    """

    merges: Merges

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Lay it out."""
        merges = self.merges
        table = Table(box=box.SIMPLE_HEAD, title=_heading(merges), collapse_padding=True)
        table.add_column("merge", no_wrap=True)
        for heading in [*merges.metrics, "mean", "normalised", "gap"]:
            table.add_column(heading, justify="right")
        table.add_column("verdict")
        verdicts = {one.merge: one.verdict for one in merges.comparisons}
        own = [_value(one.value, merges.metrics[one.task]) for one in merges.own]
        mean = _mean(merges.own_mean, merges.metric)
        table.add_row("members alone", *own, mean, "1.000" if mean != "-" else "-", "-", "-")
        for one in merges.merges:
            said = verdicts.get(one.merge, "-")
            table.add_row(*_row(one, merges), short_verdict(said))
        yield table
        yield from (Text(f"- {one.sentence}") for one in merges.comparisons)
        yield from (
            Text(f"! {one.merge}: {failure}", style="bold red")
            for one in merges.merges
            for failure in one.failed
        )
        yield from (Text(f"! {caveat}", style="bold red") for caveat in merges.caveats)


def _heading(merges: Merges) -> str:
    percent = ", in percent" if all(map(is_share, merges.metrics.values())) else ""
    return (
        f"{merges.members} of {len(merges.metrics)} tasks merged: test{percent}, means over "
        f"{len(merges.seeds)} seeds; verdicts against {merges.reference}"
    )


def _row(one: Merge, merges: Merges) -> list[str]:
    values = [_value(task.value, merges.metrics[task.task]) for task in one.tasks]
    share = "-" if one.normalised is None else f"{one.normalised.mean:.3f}"
    return [
        one.shown,
        *values,
        _mean(one.mean, merges.metric),
        share,
        _mean(one.gap, merges.metric),
    ]


def _value(value: float | None, metric: str) -> str:
    return "-" if value is None else digits(metric, value)


def _mean(mean: Mean | None, metric: str | None) -> str:
    return "-" if mean is None or metric is None else digits(metric, mean.mean)
