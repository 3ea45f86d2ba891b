"""The benchmark's tables on a terminal."""

from rich import box
from rich.console import Console, Group
from rich.table import Table

from bench.measure import Method
from bench.subjects import Subject

COLUMNS = ("seconds", "forwards", "x faster", "at equal error", "distance", "Spearman")


def show(
    figures: dict[str, float],
    tables: dict[str, dict[str, Method]],
    subject: Subject,
    *,
    quick: bool,
    aside: bool,
) -> None:
    """Print a table per model and the figures; to standard error if `aside`."""
    device = next(subject.model.parameters()).device
    shapes = ", ".join("x".join(map(str, _shape(batch))) for batch in subject.batches)
    notes = [
        f"{device}, one thread; texts x tokens of the batches: {shapes}",
        "distance and Spearman: of one run, to a converged exact score",
    ]
    if quick:
        notes.append("--quick: a smaller probe and few draws; not the figures to quote")
    parts = [_table(name, rows) for name, rows in tables.items()]
    console = Console(stderr=aside)
    if not console.is_terminal:
        console.width = 100
    console.print(Group(*parts, _figures(figures), *notes))


def _shape(batch: object) -> tuple[int, ...]:
    assert isinstance(batch, dict)
    return tuple(next(iter(batch.values())).shape)


def _table(name: str, rows: dict[str, Method]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=name, title_justify="left")
    table.add_column("method", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for method, row in rows.items():
        values = (row.seconds, row.forwards, row.speedup, row.equal_error, row.distance, row.order)
        table.add_row(method, *map(_cell, values))
    return table


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _figures(figures: dict[str, float]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="figures", title_justify="left", show_header=False)
    for name, value in figures.items():
        table.add_row(name, f"{value:.4g}")
    return table
