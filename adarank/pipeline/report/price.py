"""The headline metric against measured training time and peak memory, a mark a cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adarank.comparison.wording import title
from adarank.pipeline.artifacts.summary import Summary
from adarank.pipeline.artifacts.timings import timing
from adarank.pipeline.report.chart import (
    TWO_COLUMNS,
    Chart,
    Table,
    View,
    axis,
)
from adarank.pipeline.report.frontier import scatter
from adarank.pipeline.report.numbers import number, with_interval

Records = Mapping[str, Mapping[str, Any]]
"""What timings/ holds of each cell's fine-tuning."""


@dataclass(frozen=True)
class Price:
    """One way to count what a cell took.

    Attributes:
        key: Its name in a record of timings/.
        label: What it is chosen by.
        axis: Its axis, with its unit.
        per_run: Whether a record holds the sum over the seeds.
    """

    key: str
    label: str
    axis: str
    per_run: bool = False


PRICES = (
    Price("training_seconds", "training time", "seconds of training, a run", per_run=True),
    Price("peak_gpu_mib", "peak GPU memory", "peak GPU memory of the cell, MiB"),
    Price("peak_mib", "peak memory", "peak memory of the cell's process, MiB"),
)


def price_chart(summary: Summary) -> Chart | None:
    """Draw every cell that has a result and a record in timings/; None where there is none."""
    measured = [name for name, cell in summary.cells.items() if summary.headline in cell.metrics]
    records = {name: record for name in measured if (record := timing(_file(summary, name)))}
    views = [_view(summary, price, at) for price in PRICES if (at := _places(records, price))]
    if not views:
        return None
    better = "higher" if summary.better == "higher" else "lower"
    about = [
        f"Better is to the left and {better}: mean {title(summary.headline)} on {summary.split} "
        f"with its {100 * summary.confidence:g} % interval, against what fine-tuning took.",
        where_measured(records),
    ]
    absent = [name for name in summary.cells if name not in records]
    if absent:
        about.append(f"Not drawn, as no result or no time is known here: {', '.join(absent)}.")
    heading = f"{_upper(title(summary.headline))} against time and memory: {summary.task}"
    return Chart(f"price-{summary.task}", heading, tuple(about), tuple(views), "Against")


def where_measured(records: Records) -> str:
    """Say on which host and under what load, in a sentence, and what that is worth."""
    hosts = sorted({str(record.get("host", "an unknown host")) for record in records.values()})
    cores = sorted({int(r["cores"]) for r in records.values() if "cores" in r})
    loads = sorted(float(r["load"]) for r in records.values() if "load" in r)
    text = f"Measured on {', '.join(hosts)}"
    if len(cores) == 1:
        text += f" ({cores[0]} core{'s' if cores[0] > 1 else ''})"
    if len(loads) < len(records):
        text += f"; the load was not noted for {len(records) - len(loads)} of {len(records)} cells"
    if loads:
        ends = " to ".join(dict.fromkeys(f"{load:g}" for load in (loads[0], loads[-1])))
        text += f"; load average at the end of a cell {ends}"
    if len(hosts) > 1:
        return f"{text}. Times of different hosts cannot be compared."
    if len(cores) == 1 and loads and loads[-1] > cores[0]:
        return f"{text}. The host had more to do than cores, so differences in time may be its."
    return f"{text}."


def _file(summary: Summary, cell: str) -> str:
    return f"finetune-{summary.task}-{cell}"


def _places(records: Records, price: Price) -> dict[str, float]:
    """Find the price of every cell that has one; a run's, where it is a sum over runs."""
    found: dict[str, float] = {}
    for name, record in records.items():
        runs = record.get("runs") if price.per_run else 1
        if price.key in record and runs:
            found[name] = float(record[price.key]) / runs
    return found


def _view(summary: Summary, price: Price, at: Mapping[str, float]) -> View:
    cells = {name: summary.cells[name] for name in at}
    figure = scatter(summary, cells, at)
    figure.update_layout(xaxis=axis(price.axis, rangemode="tozero"))
    rows = _rows(summary, at)
    table = Table(("cell", price.axis, title(summary.headline)), rows)
    said = "; ".join(f"{cell}: {cost}, {result}" for cell, cost, result in rows)
    alt = f"Scatter plot of {title(summary.headline)} against {price.axis}, a mark a cell. {said}."
    return View(price.label, figure, alt, table, {"legend": TWO_COLUMNS})


def _rows(summary: Summary, at: Mapping[str, float]) -> tuple[tuple[str, str, str], ...]:
    metric = summary.headline
    found: Sequence[Any] = [(n, cost, summary.cells[n].metrics[metric]) for n, cost in at.items()]
    return tuple(
        (name, number(cost), with_interval(one.mean, one.low, one.high, metric))
        for name, cost, one in found
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
