"""Every seed's test value, a row a cell, beside what a constant answer gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from adarank.comparison.wording import title
from adarank.pipeline.artifacts.measured import CELLS, read_cell
from adarank.pipeline.artifacts.summary import Baseline, Summary
from adarank.pipeline.report.chart import Chart, Table, View, axis, layout, plain
from adarank.pipeline.report.look import Look, looks
from adarank.pipeline.report.numbers import NONE, scaled, unit, value
from adarank.pipeline.report.palette import INK, MUTED

FAR = 0.75
"""A baseline farther from all values than this share of their spread would squeeze them."""

_ROW, _AROUND = 26, 100  # pixels
_MARGIN = 0.06  # of the spread, on either side
_APART = 0.2  # of a row, up and down


@dataclass(frozen=True)
class SeedValue:
    """What one seed measured on test.

    Attributes:
        value: The headline metric; None where it is undefined.
        rows: How many rows were measured.
    """

    value: float | None
    rows: int


Drawn = Mapping[str, Mapping[int, float]]
Values = Mapping[str, Mapping[int, SeedValue]]
"""By cell, `uniform-4`, and seed; a seed that failed has none."""


def read_values(task: str, cells: Sequence[str]) -> Values:
    """Read every seed's headline value on test of a task's cells that have a record."""
    names = [cell for cell in cells if (CELLS / task / f"{cell}.json").exists()]
    records = {name: read_cell(f"{task}/{name}")["seeds"] for name in names}
    return {
        name: {r["seed"]: SeedValue(r["headline"], r["n"]) for r in rows if r["split"] == "test"}
        for name, rows in records.items()
    }


def seed_chart(summary: Summary, values: Values) -> Chart | None:
    """Draw every seed's value, and the constant answer's; None where no seed has a value."""
    drawn = {name: seeds for name in summary.cells if (seeds := _known(values.get(name, {})))}
    if not drawn:
        return None
    about = [
        f"A mark is one seed's {title(summary.headline)} on {summary.split}, the seeds of a cell "
        "in order from top to bottom; the short line is their mean. Further "
        f"{'right' if summary.better == 'higher' else 'left'} is better.",
        *_baseline_about(summary, drawn),
        *_rows_about(values),
    ]
    missing = [name for name in summary.cells if name not in drawn]
    if missing:
        about.append(f"Without a value, as no seed finished: {', '.join(missing)}.")
    table = _table(summary, values)
    view = View("", _figure(summary, drawn), _alt(summary, table), table, _NARROW)
    heading = f"{title(summary.headline)} on {summary.split}, by seed"
    return Chart("seeds", heading[0].upper() + heading[1:], tuple(about), (view,))


_NARROW: dict[str, Any] = {"xaxis": {"nticks": 6}}


def _known(seeds: Mapping[int, SeedValue]) -> dict[int, float]:
    return {seed: one.value for seed, one in seeds.items() if one.value is not None}


def _baseline_about(summary: Summary, drawn: Drawn) -> list[str]:
    """Say what the constant answer is, and where to look for it."""
    if summary.baseline is None:
        return []
    measured = _with_unit(summary.baseline.value, summary.headline)
    words = f"Answering {summary.baseline.answer} gives {measured}"
    side = _beyond(summary.baseline.value, drawn)
    where = f"beyond the {side} end of the axis" if side else "the dotted line"
    return [f"{words}: {where}."]


def _beyond(baseline: float, drawn: Drawn) -> Literal["left", "right"] | None:
    """On which side a baseline is too far from all values to share an axis with them."""
    every = [value for seeds in drawn.values() for value in seeds.values()]
    room = FAR * (max(every) - min(every))
    if min(every) - room <= baseline <= max(every) + room:
        return None
    return "left" if baseline < min(every) else "right"


def _rows_about(values: Values) -> list[str]:
    counts = sorted({one.rows for seeds in values.values() for one in seeds.values()})
    each = " or ".join(f"{n:,}" for n in counts)
    return [f"Every value is measured on {each} rows."] if counts else []


def _figure(summary: Summary, drawn: Drawn) -> go.Figure:
    metric, look = summary.headline, looks(summary)
    places = {name: at for at, name in enumerate(drawn)}
    figure = go.Figure()
    for name, seeds in drawn.items():
        figure.add_traces(_row(name, seeds, places[name], metric, look[_strategy(summary, name)]))
    ends = [scaled(v, metric) for seeds in drawn.values() for v in seeds.values()]
    baseline = summary.baseline
    side = _beyond(baseline.value, drawn) if baseline else None
    if baseline and side is None:
        ends.append(scaled(baseline.value, metric))
    room = _MARGIN * (max(ends) - min(ends)) or 0.01 * max(abs(max(ends)), 1)
    least, most = min(ends) - room, max(ends) + room
    percent = unit(metric)
    figure.update_layout(
        **layout(_AROUND + _ROW * len(drawn), showlegend=False, hovermode="closest"),
        xaxis=axis(
            f"{title(metric)} on {summary.split}{f', {percent}' if percent else ''}",
            range=[least, most],
        ),
        yaxis=axis(
            tickvals=list(places.values()),
            ticktext=[plain(name) for name in drawn],
            range=[len(drawn) - 0.4, -0.6],
            ticks="",
        ),
    )
    if baseline:
        _mark_baseline(figure, baseline, metric, (least, most), side)
    return figure


def _mark_baseline(
    figure: go.Figure,
    baseline: Baseline,
    metric: str,
    ends: tuple[float, float],
    side: Literal["left", "right"] | None,
) -> None:
    """Draw the constant answer's value as a line, or, far away, an arrow at the axis' end."""
    at = scaled(baseline.value, metric)
    words = f"{baseline.answer}: {_with_unit(baseline.value, metric)}"
    left, right = ends
    if side == "left":
        words, at = f"\N{LEFTWARDS ARROW} {words}", left
    elif side == "right":
        words, at = f"{words} \N{RIGHTWARDS ARROW}", right
    else:
        figure.add_vline(x=at, line={"dash": "dot", "width": 1.5, "color": MUTED.light})
    figure.add_annotation(
        x=at,
        xanchor="left" if at < (left + right) / 2 else "right",
        yref="paper",
        y=1,  # above the rows, where no mark lies
        yanchor="bottom",
        showarrow=False,
        text=plain(words),
        font={"size": 12, "color": MUTED.light},
    )
    figure.update_layout(margin={"t": 32})


def _row(
    name: str, seeds: Mapping[int, float], place: int, metric: str, look: Look
) -> list[go.Scatter]:
    mean = scaled(sum(seeds.values()) / len(seeds), metric)
    line = {"width": 2, "color": INK.light}
    at_mean = go.Scatter(
        x=[mean, mean], y=[place - 0.3, place + 0.3], mode="lines", line=line, hoverinfo="skip"
    )
    said = [f"{name}, seed {seed}: {_with_unit(v, metric)}" for seed, v in seeds.items()]
    marks = go.Scatter(
        x=[scaled(v, metric) for v in seeds.values()],
        y=[place + _offset(at, len(seeds)) for at in range(len(seeds))],
        mode="markers",
        marker={
            "symbol": look.symbol,
            "size": 9,
            "color": look.colour,
            "opacity": 0.75,
            "line": {"width": 1, "color": look.colour},
        },
        text=[plain(text) for text in said],
        hovertemplate="%{text}<extra></extra>",
        name=plain(name),
    )
    return [at_mean, marks]


def _offset(at: int, n: int) -> float:
    """Set the seeds of a row apart, the first highest, so that equal values can be counted."""
    return _APART * (2 * at / (n - 1) - 1) if n > 1 else 0.0


def _strategy(summary: Summary, name: str) -> str:
    return summary.cells[name].strategy


def _with_unit(number: float, metric: str) -> str:
    name = unit(metric)
    return value(number, metric) + (f" {name}" if name else "")


def _table(summary: Summary, values: Values) -> Table:
    metric = summary.headline
    rows = [_table_row(name, values.get(name, {}), summary) for name in summary.cells]
    if summary.baseline is not None:
        constant = value(summary.baseline.value, metric)
        blank = [NONE] * len(summary.seeds)
        rows.append((f"answering {summary.baseline.answer}", *blank, constant, NONE))
    percent = f", {unit(metric)}" if unit(metric) else ""
    heads = (f"seed {seed}{percent}" for seed in summary.seeds)
    return Table(("cell", *heads, f"mean{percent}", "rows measured"), tuple(rows))


def _table_row(name: str, seeds: Mapping[int, SeedValue], summary: Summary) -> tuple[str, ...]:
    metric, failed = summary.headline, {one.seed for one in summary.cells[name].failed}
    texts = [
        value(seeds[seed].value, metric) if seed in seeds else "failed" if seed in failed else NONE
        for seed in summary.seeds
    ]
    known = _known(seeds).values()
    mean = value(sum(known) / len(known), metric) if known else NONE
    rows = sorted({one.rows for one in seeds.values()})
    return name, *texts, mean, " or ".join(f"{n:,}" for n in rows) or NONE


def _alt(summary: Summary, table: Table) -> str:
    said = "; ".join(f"{row[0]}: {', '.join(row[1:-2])}, mean {row[-2]}" for row in table.rows)
    return f"Dot plot of {title(summary.headline)} on {summary.split} by seed. {said}."
