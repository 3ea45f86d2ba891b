"""What a merge kept of every member, as a table on standard error."""

from rich.console import Console
from rich.table import Table

from adarank.merging.learned.merge import KeptRank
from adarank.pipeline.console.reporting import say
from adarank.pipeline.merging.running import Report


def show_merged(report: Report) -> None:
    """Print what was merged; of learned masks a row a task: kept components and lambdas."""
    values = ", ".join(f"{name} {value}" for name, value in report.values.items())
    say(f"{report.method} ({values or 'no parameters'}): {report.weights} weights merged")
    if report.excluded:
        say(f"not merged, the base's are kept: {', '.join(report.excluded)}")
    if report.learned:
        _show_ranks(report.learned.ranks, report.tasks)
        first, best = report.learned.state.history[0][1], report.learned.state.best
        name = report.values["objective"]
        say(f"objective ({name}) on held-back texts: {first:.4f} -> {best:.4f}")
    if report.written:
        one = report.written
        say(f"adapter: {one.parameters:,} parameters, relative error {one.error:.4f}")
        if one.left_out:
            say(f"not in the adapter, which holds matrices alone: {', '.join(one.left_out)}")


def _show_ranks(ranks: tuple[KeptRank, ...], tasks: tuple[str, ...]) -> None:
    table = Table(title="components kept")
    for column in ("task", "components", "kept", "of these leading", "mean lambda"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for task in tasks:
        rows = [row for row in ranks if row.task == task]
        kept = sum(row.kept for row in rows)
        leading = sum((row.leading or 0.0) * row.kept for row in rows)
        share = f"{leading / kept:.2f}" if kept else "-"
        scaling = sum(row.scaling for row in rows) / len(rows) if rows else 0.0
        counted = sum(row.components for row in rows)
        table.add_row(task, f"{counted:,}", f"{kept:,}", share, f"{scaling:.3f}")
    Console(stderr=True).print(table)
