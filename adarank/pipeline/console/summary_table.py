"""The study's summary as a table for a terminal, of 100 columns at most."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from adarank.comparison.wording import digits, is_share, probability, short_verdict, title
from adarank.pipeline.artifacts.summary import Estimate, Summary

_WIDTH = 100
_SECOND = ("macro_f1", "spearman", "perplexity", "loss")

Columns = dict[str, list[str]]
"""A column's cells by its title."""


@dataclass(frozen=True)
class SummaryTable:
    """One task's part of the summary: a row a cell, the verdicts in full, then what weakens them.

    Attributes:
        summary: The task's part.
    """

    summary: Summary

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Lay it out in the width there is; where that is small, columns are left out."""
        summary = self.summary
        yield _cells(summary, min(_WIDTH, options.max_width))
        yield from (Text(summary.verdict, style="bold"), Text(""))
        yield from (Text(f"- {one.sentence}") for one in summary.comparisons)
        yield from (Text(cost) for cost in summary.costs)
        yield from (Text(f"! {one.text}", style="bold red") for one in summary.caveats)


def cost_table(cells: dict[str, dict[str, float]], scores: dict[str, float]) -> Group:
    """Lay out what stages took here; nothing where no times are known.

    Args:
        cells: By cell, a number by title, as `costs.stage_costs` gives them.
        scores: Seconds by signal.
    """
    each = ", ".join(f"{name} {seconds:,.1f}" for name, seconds in scores.items())
    scoring = [Text(f"Seconds to score by signal: {each}")] if scores else []
    return Group(*([_costs(cells)] if cells else []), *scoring)


def _costs(cells: dict[str, dict[str, float]]) -> Table:
    titles = list(dict.fromkeys(title for one in cells.values() for title in one))
    table = _narrow("What it took here; no metric depends on it")
    table.add_column("cell", no_wrap=True)
    for heading in titles:
        table.add_column(heading, justify="right")
    for name, one in cells.items():
        table.add_row(name, *(f"{one[t]:,.0f}" if t in one else "-" for t in titles))
    return table


def _cells(summary: Summary, width: int) -> Table:
    table = _narrow(_heading(summary))
    names = sorted(summary.cells, key=lambda name: _place(summary, name))
    columns = _fitting(_columns(summary, names), _extra(summary, names), width)
    for heading in columns:
        words = heading in ("cell", "verdict")
        side = "left" if words else "right"
        # Where names are long, a verdict may take a second line.
        room = len("comparable") if heading == "verdict" else None
        table.add_column(heading, justify=side, no_wrap=room is None, min_width=room)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _columns(summary: Summary, names: list[str]) -> Columns:
    less = f"less {summary.reference}'s"
    titles = ["cell", "parameters", "n", title(summary.headline), less, "p (Holm)", "verdict"]
    rows = [_row(summary, name) for name in names]
    return {title: [row[at] for row in rows] for at, title in enumerate(titles)}


def _fitting(columns: Columns, extra: Columns, width: int) -> Columns:
    """Leave out what can best be spared until the rest fits: the extras, then what all share."""
    kept, spared = columns | extra, [*reversed(extra), "parameters", "n"]
    while spared and _wide(kept) > width:
        kept.pop(spared.pop(0))
    return kept


def _narrow(title: str) -> Table:
    return Table(box=box.SIMPLE_HEAD, title=title, collapse_padding=True, pad_edge=False)


def _heading(summary: Summary) -> str:
    percent = " in percent" if is_share(summary.headline) else ""
    lower = "; lower is better" if summary.better == "lower" else ""
    return f"Test split{percent}: mean over n seeds ± half its 95 % interval{lower}"


def _row(summary: Summary, name: str) -> list[str]:
    cell, headline = summary.cells[name], summary.headline
    found = cell.metrics.get(headline)
    planned = len(summary.seeds)
    return [
        name,
        f"{cell.trainable_parameters:,}",
        str(planned) if cell.n == planned else f"{cell.n} of {planned}",
        _mean(headline, found),
        *_compared(summary, name),
    ]


def _mean(metric: str, found: Estimate | None) -> str:
    if found is None:
        return "failed"
    return "undefined" if found.mean is None else _estimate(metric, found.mean, found.high)


def _compared(summary: Summary, name: str) -> list[str]:
    one = summary.against_reference(name)
    if one is None:
        return ["-", "-", "-"]
    if one.difference is None:
        return ["-", "-", one.verdict]
    less = _estimate(one.metric, one.difference, one.high, "+")
    p = "-" if one.n == 1 or one.family is None else probability(one.t_p_holm)
    return [less, p, short_verdict(one.verdict)]


def _extra(summary: Summary, names: list[str]) -> Columns:
    """What is shown too where there is room: a chosen learning rate, and a second metric."""
    cells = [summary.cells[name] for name in names]
    found: Columns = {}
    if any(cell.tuned for cell in cells):
        found["rate"] = [f"{c.learning_rate:g}" if c.tuned else "-" for c in cells]
    for second in [m for m in _SECOND if m != summary.headline]:
        if any(second in cell.metrics for cell in cells):
            means = [
                cell.metrics[second].mean if second in cell.metrics else None for cell in cells
            ]
            found[title(second)] = ["-" if m is None else digits(second, m) for m in means]
            break
    return found


def _wide(columns: Columns) -> int:
    return sum(max(map(len, [title, *cells])) + 2 for title, cells in columns.items())


def _place(summary: Summary, name: str) -> tuple[int, bool, str]:
    """Sort by cost, and at each cost what the others are compared with first."""
    cell = summary.cells[name]
    return cell.trainable_parameters, cell.strategy != summary.reference, name


def _estimate(metric: str, mean: float, high: float | None, sign: str = "") -> str:
    """Write a mean with half its interval."""
    half = "" if high is None else f" ± {digits(metric, high - mean)}"
    return digits(metric, mean, sign) + half
