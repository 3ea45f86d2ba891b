"""The full table: a row a cell, every number in full for sorting and for the CSV."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adarank.comparison.wording import title
from adarank.pipeline.artifacts.summary import Cell, Comparison, Estimate, Summary
from adarank.pipeline.report.numbers import NONE, number, p_value, unit, value


@dataclass(frozen=True)
class Entry:
    """One cell of a table.

    Attributes:
        text: As it is read.
        raw: As it is sorted and saved: a number in full, empty where there is none.
    """

    text: str
    raw: str


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        heading: As it is read.
        name: As the CSV has it.
        numeric: Whether it holds numbers.
        extra: Whether paper, which cannot scroll, goes without it.
    """

    heading: str
    name: str
    numeric: bool = True
    extra: bool = False

    @property
    def look(self) -> str:
        """Its classes in the page."""
        return " ".join(["number"] * self.numeric + ["extra"] * self.extra)


@dataclass(frozen=True)
class FullTable:
    """The columns and, for each cell of the study, as many entries."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]


def full_table(summary: Summary) -> FullTable:
    """Lay out every cell of the summary, in its order."""
    metrics = sorted({m for c in summary.cells.values() for m in c.metrics} - {summary.headline})
    heads = (*_measured_heads(summary), *_compared_heads(summary), *_counted_heads(summary))
    rows = (
        (
            Entry(name, name),
            *_measured(cell, summary.headline),
            *_compared(summary.against_reference(name)),
            *_counted(cell, summary),
            *_cost(cell),
            *_others(cell, metrics),
        )
        for name, cell in summary.cells.items()
    )
    others = (Column(_titled(name), name, extra=True) for name in metrics)
    return FullTable((*heads, *_COST, *others), tuple(rows))


_COST = (
    Column("parameters", "trainable_parameters"),
    Column("at their peak", "peak_parameters", extra=True),
    Column("the head's", "head_parameters", extra=True),
    Column("learning rate", "learning_rate", extra=True),
    Column("strategy", "strategy", numeric=False, extra=True),
    Column("budget", "budget", extra=True),
    Column("tuner", "tuner", numeric=False, extra=True),
)


def _measured_heads(summary: Summary) -> Iterator[Column]:
    yield Column("cell", "cell", numeric=False)
    yield Column(_titled(summary.headline), summary.headline)
    for end in ("low", "high"):
        yield Column(f"{_level(summary)} {end}", f"{summary.headline}_{end}")
    yield Column("sd", f"{summary.headline}_sd", extra=True)


def _compared_heads(summary: Summary) -> Iterator[Column]:
    points = ", points" if unit(summary.headline) else " difference"
    yield Column(f"less {summary.reference}'s{points}", "difference")
    yield Column(f"{_level(summary)} low{points}", "difference_low")
    yield Column(f"{_level(summary)} high{points}", "difference_high")
    yield Column("Holm p (t)", "t_p_holm")
    yield Column("p (sign flips)", "p", extra=True)
    yield Column("verdict", "verdict", numeric=False)


def _counted_heads(summary: Summary) -> Iterator[Column]:
    yield Column("seeds", "n")
    # Where none failed, the column would only push others off the screen.
    yield Column("failed seeds", "failed", extra=not any(c.failed for c in summary.cells.values()))


def _level(summary: Summary) -> str:
    return f"{100 * summary.confidence:g}\N{NO-BREAK SPACE}%"


def _titled(metric: str) -> str:
    return title(metric) + (f", {unit(metric)}" if unit(metric) else "")


_NOTHING = Estimate(n=0, mean=None, sd=None, low=None, high=None)


def _measured(cell: Cell, headline: str) -> Iterator[Entry]:
    one = cell.metrics.get(headline, _NOTHING)
    yield from (_entry(known, headline) for known in (one.mean, one.low, one.high, one.sd))


def _others(cell: Cell, metrics: Sequence[str]) -> Iterator[Entry]:
    yield from (_entry(cell.metrics.get(name, _NOTHING).mean, name) for name in metrics)


def _compared(one: Comparison | None) -> Iterator[Entry]:
    if one is None:
        yield from [Entry(NONE, "")] * 6
        return
    for known in (one.difference, one.low, one.high):
        yield _entry(known, one.metric, signed=True)
    for p in (one.t_p_holm, one.p):
        yield Entry(p_value(p), "" if p is None else str(p))
    yield Entry(one.verdict, one.verdict)


def _counted(cell: Cell, summary: Summary) -> Iterator[Entry]:
    yield Entry(str(cell.n), str(cell.n))
    failed = len(cell.failed)
    shown = f"{failed} of {len(summary.seeds)} failed" if failed else "0"
    yield Entry(shown, str(failed))


def _cost(cell: Cell) -> Iterator[Entry]:
    for parameters in (cell.trainable_parameters, cell.peak_parameters, cell.head_parameters):
        yield Entry(f"{parameters:,}", str(parameters))
    chosen = " (chosen)" if cell.tuned else ""
    yield Entry(f"{number(cell.learning_rate)}{chosen}", str(cell.learning_rate))
    yield Entry(cell.strategy, cell.strategy)
    yield Entry(f"{cell.budget:g}", str(cell.budget))
    yield Entry(cell.tuner, cell.tuner)


def _entry(known: float | None, metric: str, *, signed: bool = False) -> Entry:
    return Entry(value(known, metric, signed=signed), "" if known is None else str(known))
