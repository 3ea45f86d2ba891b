"""Cost beside quality: what timings/ holds of the study's cells and signals.

Times and memory differ from run to run, so they are no part of the report, whose bytes follow from
the results alone, but a page beside it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from adarank.comparison.wording import title
from adarank.pipeline.artifacts.summary import Cell, Summary
from adarank.pipeline.artifacts.timings import timing
from adarank.pipeline.report.chart import Table
from adarank.pipeline.report.numbers import NONE, number, with_interval

_FIGURES = {
    "training_seconds": "seconds of training",
    "seconds": "seconds of the stage",
    "tokens_per_second": "tokens a second",
    "peak_mib": "peak memory, MiB",
    "peak_gpu_mib": "peak GPU memory, MiB",
}


def cell_costs(summary: Summary) -> Table:
    """A row a cell: its quality, its parameters, and what its fine-tuning took."""
    records = {name: timing(f"finetune-{summary.task}-{name}") for name in summary.cells}
    keys = [key for key in _FIGURES if any(key in record for record in records.values())]
    head = ("cell", title(summary.headline), "parameters", *(_FIGURES[k] for k in keys), "host")
    rows = (
        (*_about(name, summary.cells[name], summary.headline), *_figures(record, keys))
        for name, record in records.items()
    )
    return Table(head, tuple(rows))


def signal_costs(signals: Sequence[str]) -> Table:
    """A row a signal: what its scoring took.

    Args:
        signals: Signals of the model, and TASK-SIGNAL for those of a task.
    """
    head = ("signal", _FIGURES["seconds"], _FIGURES["peak_mib"], "host")
    keys = ["seconds", "peak_mib"]
    rows = ((s, *_figures(timing(f"score-{s}"), keys)) for s in signals)
    return Table(head, tuple(rows))


def _about(name: str, cell: Cell, headline: str) -> Iterator[str]:
    one = cell.metrics.get(headline)
    yield name
    yield with_interval(one.mean, one.low, one.high, headline) if one else "no seed finished"
    yield f"{cell.trainable_parameters:,}"


def _figures(record: dict[str, Any], keys: Sequence[str]) -> Iterator[str]:
    yield from (_in_words(record.get(key)) for key in keys)
    yield str(record.get("host", NONE))


def _in_words(figure: Any) -> str:
    if isinstance(figure, (int, float)) and abs(figure) >= 1000:
        return f"{figure:,.0f}"
    return number(figure) if isinstance(figure, (int, float)) else NONE
