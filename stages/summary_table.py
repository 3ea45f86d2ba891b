"""The study's summary as a table for a terminal."""

from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text


def summary_table(summary: dict[str, Any]) -> Group:
    """Lay out metrics/summary.json: a row a cell, then what to be careful about."""
    title = "Test split in percent: mean over n seeds ± half its 95 % interval"
    table = Table(box=box.SIMPLE_HEAD, title=title)
    table.add_column("cell", no_wrap=True)
    for column in ("parameters", "n", "accuracy", "less uniform's", "macro F1"):
        table.add_column(column, justify="right", no_wrap=True)
    cells = {name: cell for name, cell in summary.items() if name != "notes"}
    for name in sorted(cells, key=lambda name: _place(name, cells[name])):
        table.add_row(name, *_row(cells[name]))
    notes = [Text(f"! {note}", style="bold red") for note in summary["notes"]]
    return Group(table, *notes)


def _place(name: str, cell: dict[str, Any]) -> tuple[int, bool, str]:
    """Sort by cost, and at each cost what the others are compared with first."""
    compared = cell.get("accuracy_difference") is not None
    return cell["trainable_parameters"], compared, name


def _row(cell: dict[str, Any]) -> list[str]:
    return [
        f"{cell['trainable_parameters']:,}",
        str(cell["n"]),
        _percent(cell, "accuracy"),
        _percent(cell, "accuracy_difference", "+"),
        _percent(cell, "macro_f1"),
    ]


def _percent(cell: dict[str, Any], key: str, sign: str = "") -> str:
    mean, high = cell.get(key), cell.get(f"{key}_high")
    if mean is None:
        return "-"
    half = "" if high is None else f" ± {100 * (high - mean):.2f}"
    return f"{100 * mean:{sign}.2f}{half}"
