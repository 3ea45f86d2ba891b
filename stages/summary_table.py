"""The study's summary as a table for a terminal."""

from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

_SHARES = ("auc", "exact_match")
_SECOND = ("macro_f1", "spearman", "perplexity", "loss")

Cell = dict[str, Any]


def summary_table(summary: dict[str, Any]) -> Group:
    """Lay out metrics/summary.json: a row a cell, then costs, and what to be careful about."""
    headline = summary["headline"]
    cells: dict[str, Cell] = {n: cell for n, cell in summary.items() if isinstance(cell, dict)}
    names = sorted(cells, key=lambda name: _place(name, cells[name], headline))
    tuned = any("learning_rate" in cell for cell in cells.values())
    second = _second(list(cells.values()), headline)
    columns = ["parameters", "n", _title(headline), f"less {summary['reference']}'s"]
    table = Table(box=box.SIMPLE_HEAD, title=_heading(headline, summary["better"]))
    table.add_column("cell", no_wrap=True)
    for column in [*columns, *map(_title, second), *(["rate"] if tuned else [])]:
        table.add_column(column, justify="right", no_wrap=True)
    for name in names:
        rate = [_rate(cells[name])] if tuned else []
        table.add_row(name, *_row(cells[name], headline, second), *rate)
    costs = [Text(cost) for cost in summary["costs"]]
    notes = [Text(f"! {note}", style="bold red") for note in summary["notes"]]
    return Group(table, *costs, *notes)


def _heading(headline: str, better: str) -> str:
    percent = " in percent" if _is_share(headline) else ""
    lower = "; lower is better" if better == "lower" else ""
    return f"Test split{percent}: mean over n seeds ± half its 95 % interval{lower}"


def _second(cells: list[Cell], headline: str) -> list[str]:
    """Pick one metric to show beside the headline, if the cells have another."""
    known = [name for name in _SECOND if any(name in cell for cell in cells)]
    return [name for name in known if name != headline][:1]


def _place(name: str, cell: Cell, headline: str) -> tuple[int, bool, str]:
    """Sort by cost, and at each cost what the others are compared with first."""
    compared = cell.get(f"{headline}_difference") is not None
    return cell["trainable_parameters"], compared, name


def _row(cell: Cell, headline: str, second: list[str]) -> list[str]:
    return [
        f"{cell['trainable_parameters']:,}",
        str(cell["n"]),
        _number(cell, headline),
        _number(cell, f"{headline}_difference", "+"),
        *(_number(cell, name) for name in second),
    ]


def _number(cell: Cell, key: str, sign: str = "") -> str:
    """Write a mean with half its interval: a share in percent, anything else as it is."""
    mean, high = cell.get(key), cell.get(f"{key}_high")
    if mean is None:
        return "-"
    factor, digits = (100, 2) if _is_share(key.removesuffix("_difference")) else (1, 4)
    half = "" if high is None else f" ± {factor * (high - mean):.{digits}f}"
    return f"{factor * mean:{sign}.{digits}f}{half}"


def _rate(cell: Cell) -> str:
    return f"{cell['learning_rate']:g}" if "learning_rate" in cell else "-"


def _is_share(metric: str) -> bool:
    return metric in _SHARES or "accuracy" in metric or "f1" in metric


def _title(metric: str) -> str:
    return metric.replace("_", " ").replace("f1", "F1")
