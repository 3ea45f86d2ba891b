"""The study's summary as a table for a terminal."""

from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

_INTERVAL = "[dim]{low} to {high}[/dim]"


def summary_table(summary: dict[str, Any]) -> Group:
    """Lay out metrics/summary.json: a row a cell, then what to be careful about."""
    table = Table(box=box.SIMPLE_HEAD, title="Test split, mean over seeds, 95 % intervals")
    table.add_column("cell")
    for column in ("parameters", "seeds", "accuracy", "", "less uniform's", "", "macro F1", "loss"):
        table.add_column(column, justify="right")
    for name, cell in summary.items():
        if name != "notes":
            table.add_row(name, *_row(cell))
    notes = [Text(f"! {note}", style="bold red") for note in summary["notes"]]
    return Group(table, *notes)


def _row(cell: dict[str, Any]) -> list[str]:
    return [
        f"{cell['trainable_parameters']:,}",
        str(cell["n"]),
        _percent(cell.get("accuracy")),
        _interval(cell.get("accuracy_low"), cell.get("accuracy_high")),
        _percent(cell.get("accuracy_difference"), "+"),
        _interval(cell.get("accuracy_difference_low"), cell.get("accuracy_difference_high"), "+"),
        _percent(cell.get("macro_f1")),
        _plain(cell.get("loss")),
    ]


def _percent(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{100 * value:{sign}.2f} %"


def _interval(low: float | None, high: float | None, sign: str = "") -> str:
    if low is None or high is None:
        return ""
    return _INTERVAL.format(low=f"{100 * low:{sign}.2f}", high=f"{100 * high:{sign}.2f}")


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
