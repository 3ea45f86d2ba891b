"""The headline metric against trainable parameters, a mark a strategy, with its interval."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from adarank.comparison.wording import title
from adarank.pipeline.artifacts.summary import Cell, Summary
from adarank.pipeline.report.chart import (
    TWO_COLUMNS,
    Chart,
    Table,
    View,
    axis,
    layout,
    legend_below,
    plain,
)
from adarank.pipeline.report.look import Look, looks
from adarank.pipeline.report.numbers import NONE, scaled, unit, value, with_interval
from adarank.pipeline.report.palette import MUTED

ALIKE = 1.25
"""Costs within this ratio of the next are drawn side by side, as if the same."""

_SPREAD = 0.42  # of the gap to the neighbouring costs, to each side
_ALONE = 0.6  # the gap, in powers of ten, where there are no neighbours

Cells = Mapping[str, Cell]


def frontier(summary: Summary) -> Chart:
    """Draw every cell that has a result."""
    measured = {n: c for n, c in summary.cells.items() if summary.headline in c.metrics}
    name = title(summary.headline)
    about = [
        f"Higher up is {'better' if summary.better == 'higher' else 'worse'}: mean {name} on "
        f"{summary.split} over the seeds that finished, with its {100 * summary.confidence:g} % "
        f"interval (Student's t). The dotted line is {summary.reference}'s mean.",
        "Cells of equal cost, or less than a quarter apart, stand side by side; the exact "
        "parameters are in the hover and in the table.",
    ]
    missing = [name for name in summary.cells if name not in measured]
    if missing:
        about.append(f"Not drawn, as no seed finished: {', '.join(missing)}.")
    view = View("", _figure(summary, measured), _alt(summary, measured), _table(summary), _NARROW)
    costs = {cell.trainable_parameters for cell in measured.values()}
    heading = f"{_upper(name)} {'against' if len(costs) > 1 else 'at equal'} trainable parameters"
    return Chart("frontier", heading, tuple(about), (view,))


_NARROW: dict[str, Any] = {"legend": TWO_COLUMNS}


def clusters(costs: Sequence[int]) -> list[list[int]]:
    """Group sorted distinct costs into runs whose neighbours are within the ratio ALIKE."""
    groups: list[list[int]] = []
    for cost in sorted(set(costs)):
        if groups and cost <= ALIKE * groups[-1][-1]:
            groups[-1].append(cost)
        else:
            groups.append([cost])
    return groups


def places(cells: Cells) -> dict[str, float]:
    """Place every cell on the logarithmic axis of parameters: side by side in its cluster."""
    groups = clusters([cell.trainable_parameters for cell in cells.values()])
    centres = [_centre(group) for group in groups]
    gaps = [math.log10(b / a) for a, b in pairwise(centres)]
    half = _SPREAD * min([*gaps, _ALONE])
    found: dict[str, float] = {}
    for group, centre in zip(groups, centres, strict=True):
        names = [name for name, cell in cells.items() if cell.trainable_parameters in group]
        for at, name in enumerate(names):
            offset = half * (2 * at / (len(names) - 1) - 1) if len(names) > 1 else 0
            found[name] = centre * 10**offset
    return found


def _centre(group: list[int]) -> float:
    return math.sqrt(group[0] * group[-1])


def _figure(summary: Summary, cells: Cells) -> go.Figure:
    at = places(cells)
    figure = scatter(summary, cells, at)
    figure.update_layout(
        xaxis=axis(**_ticks(cells, at)), shapes=_reference_lines(summary, cells, at)
    )
    return figure


def scatter(summary: Summary, cells: Cells, at: Mapping[str, float]) -> go.Figure:
    """Draw cells' headline metric, with intervals, each at its place on the other axis."""
    figure = go.Figure(
        [
            _marks(summary, name, at, {n: c for n, c in cells.items() if c.strategy == name}, look)
            for name, look in looks(summary).items()
            if any(cell.strategy == name for cell in cells.values())
        ]
    )
    suffix = unit(summary.headline)
    quality = f"{title(summary.headline)} on {summary.split}{f', {suffix}' if suffix else ''}"
    figure.update_layout(
        **layout(520, legend=legend_below(), hovermode="closest"), yaxis=axis(quality)
    )
    return figure


def _marks(
    summary: Summary, strategy: str, at: Mapping[str, float], cells: Cells, look: Look
) -> go.Scatter:
    metric = summary.headline
    rows = [(at[name], cell.metrics[metric]) for name, cell in cells.items()]
    means = [scaled(one.mean or 0, metric) for _, one in rows]
    above = [_reach(one.high, one.mean, metric) for _, one in rows]
    below = [_reach(one.mean, one.low, metric) for _, one in rows]
    return go.Scatter(
        x=[place for place, _ in rows],
        y=means,
        error_y={
            "array": above,
            "arrayminus": below,
            "thickness": 1.5,
            "width": 3,
            "color": look.colour,
        },
        mode="markers",
        marker={
            "symbol": look.symbol,
            "size": 10,
            "color": look.colour,
            "line": {"width": 1.5, "color": look.colour},
        },
        name=plain(strategy),
        text=[plain(name) + "<br>" + plain(_said(cell, metric)) for name, cell in cells.items()],
        hovertemplate="%{text}<extra></extra>",
    )


def _reach(high: float | None, low: float | None, metric: str) -> float | None:
    return None if high is None or low is None else scaled(high - low, metric)


def _ticks(cells: Cells, at: Mapping[str, float]) -> dict[str, Any]:
    costs = [cell.trainable_parameters for cell in cells.values()]
    groups = clusters(costs)
    if len(groups) == 1:
        # A place says nothing of the cost then, only which strategy it is.
        least, most = f"{min(costs):,}", f"{max(costs):,}"
        shared = least if least == most else f"{least} to {most}"
        names = [plain(cell.strategy) for cell in cells.values()]
        ticks = {"tickvals": [at[name] for name in cells], "ticktext": names}
        return {"title": f"strategy ({shared} trainable parameters)", "type": "log", **ticks}
    # The cost that most cells of a cluster have speaks for it.
    names = [f"{max(group, key=costs.count):,}" for group in groups]
    ticks = {"tickvals": [_centre(g) for g in groups], "ticktext": names}
    return {"title": "trainable parameters", "type": "log", **ticks}


def _reference_lines(
    summary: Summary, cells: Cells, at: Mapping[str, float]
) -> list[dict[str, Any]]:
    groups = clusters([cell.trainable_parameters for cell in cells.values()])
    lines: list[dict[str, Any]] = []
    for cell in cells.values():
        mean = cell.metrics[summary.headline].mean
        if cell.strategy != summary.reference or mean is None:
            continue
        (group,) = (g for g in groups if cell.trainable_parameters in g)
        near = [at[n] for n, c in cells.items() if c.trainable_parameters in group]
        y = scaled(mean, summary.headline)
        line = {"color": MUTED.light, "width": 1, "dash": "dot"}
        ends = {"x0": min(near), "x1": max(near), "y0": y, "y1": y}
        lines.append({"type": "line", **ends, "line": line, "layer": "below"})
    return lines


def _said(cell: Cell, metric: str) -> str:
    one = cell.metrics[metric]
    text = with_interval(one.mean, one.low, one.high, metric)
    seeds = "1 seed" if one.n == 1 else f"{one.n} seeds"
    return f"{text}, {seeds}, {cell.trainable_parameters:,} parameters"


def _alt(summary: Summary, cells: Cells) -> str:
    said = "; ".join(f"{name}: {_said(cell, summary.headline)}" for name, cell in cells.items())
    return (
        f"Scatter plot of {title(summary.headline)} on {summary.split} against trainable "
        f"parameters, a mark a strategy. {said or 'No cell has a result'}."
    )


def _table(summary: Summary) -> Table:
    metric = summary.headline
    name = title(metric) + (f" ({unit(metric)})" if unit(metric) else "")
    head = ("cell", "parameters", name, "low", "high", "seeds")
    rows = [_row(n, cell, metric) for n, cell in summary.cells.items()]
    if summary.baseline is not None:
        constant = (NONE, value(summary.baseline.value, metric), NONE, NONE, NONE)
        rows.append((f"constant answer: {summary.baseline.answer}", *constant))
    return Table(head, tuple(rows))


def _row(name: str, cell: Cell, metric: str) -> tuple[str, ...]:
    one = cell.metrics.get(metric)
    numbers = (one.mean, one.low, one.high) if one else (None, None, None)
    shown = (value(number, metric) for number in numbers)
    return name, f"{cell.trainable_parameters:,}", *shown, str(cell.n)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
