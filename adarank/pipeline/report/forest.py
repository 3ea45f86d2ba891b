"""Paired differences as a forest plot: every comparison of the study with its interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from adarank.comparison.wording import title
from adarank.pipeline.artifacts.summary import Comparison, Summary
from adarank.pipeline.report.chart import Chart, Table, View, axis, layout, plain
from adarank.pipeline.report.numbers import (
    NONE,
    number,
    p_equals,
    p_value,
    scaled,
    unit,
    value,
    with_interval,
)
from adarank.pipeline.report.palette import BLUE, GREY, INK, MUTED, SURFACE, VERMILLION

_COLOURS = {"better": BLUE, "worse": VERMILLION}
_SYMBOLS = {"reference": "circle", "control": "diamond-open"}
_HEADED = "<b>verdict, Holm p</b>"
_ROW, _NARROW_ROW, _AROUND = 25, 48, 90  # pixels
_FITTING = 52  # characters of a line on a phone


@dataclass(frozen=True)
class _Line:
    """A row of the plot, counted from the top: a comparison, or a heading above some."""

    place: int
    heading: str
    one: Comparison | None = None


def forest(summary: Summary) -> Chart | None:
    """Draw every comparison; None where the study has none."""
    if not summary.comparisons:
        return None
    lines = list(_lines(summary))
    side = "right" if summary.better == "higher" else "left"
    about = (
        f"Each cell's {title(summary.headline)} on {summary.split} less the other's with the same "
        f"seed: the mean over seeds and its {100 * summary.confidence:g} % interval (Student's t). "
        f"Marks to the {side} of the line at zero are gains.",
        f"A disc compares with {summary.reference}, an open diamond a strategy with its own "
        "control. The thin line below is the interval over test rows and seeds.",
        "p is that of the paired t test, which alone decides the verdict, after Holm's correction: "
        "one for the strategies against the reference, one for those against their controls. A "
        "control beside the reference is not tested. Blue is better, orange worse, grey all else; "
        "the words beside say the same.",
    )
    view = View(
        "", _figure(summary, lines), _alt(summary), _table(summary), _narrow(lines, summary)
    )
    return Chart("forest", "Differences, paired by seed", about, (view,))


def _narrow(lines: Sequence[_Line], summary: Summary) -> dict[str, Any]:
    """Where there is no room beside the marks, the words stand above them."""
    return {
        "height": _AROUND + _NARROW_ROW * len(lines),
        "annotations": [_words_above(line) for line in lines],
        "yaxis": {"visible": False, "range": [len(lines) - 0.5, -0.9]},
        "yaxis2": {"visible": False},
        "xaxis": {
            "title": {"text": unit(summary.headline, difference=True) or "difference"},
            "nticks": 6,
        },
    }


def _words_above(line: _Line) -> dict[str, Any]:
    words = _label(line)
    if line.one is not None:
        verdict = plain(_verdict(line.one))
        long = len(words) + len(verdict) > _FITTING
        words = f"{words}:{'<br>' if long else ' '}{verdict}"
    return {
        "text": words,
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "y": line.place,
        "yanchor": "bottom",
        "yshift": 8,
        "align": "left",
        "showarrow": False,
        "bgcolor": SURFACE.light,  # or the line at zero would run through the words
        "borderpad": 0,
        "font": {"size": 12},
    }


def _lines(summary: Summary) -> Iterator[_Line]:
    place = 0
    for budget in sorted({one.budget for one in summary.comparisons}):
        for role in ("reference", "control"):
            found = [c for c in summary.comparisons if (c.budget, c.role) == (budget, role)]
            if found:
                against = summary.reference if role == "reference" else "their own controls"
                yield _Line(place, f"budget {budget:g}, less {against}")
                yield from (_Line(place + 1 + i, "", one) for i, one in enumerate(found))
                place += 1 + len(found)


def _figure(summary: Summary, lines: Sequence[_Line]) -> go.Figure:
    drawn = [line for line in lines if line.one is not None and line.one.difference is not None]
    figure = go.Figure([_bootstrap(drawn, summary.headline)])
    figure.add_traces([_marks(line, summary.headline) for line in drawn])
    # An axis without a trace is not drawn; this one holds the words to the right.
    figure.add_trace(
        go.Scatter(x=[0], y=[0], yaxis="y2", mode="markers", opacity=0, hoverinfo="skip")
    )
    name = unit(summary.headline, difference=True)
    places = [line.place for line in lines]
    side: dict[str, Any] = {
        "range": [len(lines) - 0.4, -0.6],
        "showgrid": False,
        "tickvals": places,
        "ticks": "",
    }
    figure.update_layout(
        **layout(_AROUND + _ROW * len(lines), showlegend=False, hovermode="closest"),
        xaxis=axis(
            f"difference in {title(summary.headline)}{f', {name}' if name else ''}",
            zeroline=True,
            zerolinecolor=INK.light,
            zerolinewidth=1.5,
        ),
        yaxis=axis(**side, ticktext=[_label(line) for line in lines]),
        yaxis2=axis(
            **side,
            ticktext=[plain(_verdict(line.one)) if line.one else _HEADED for line in lines],
            overlaying="y",
            side="right",
            showline=False,
        ),
    )
    return figure


def _bootstrap(lines: Sequence[_Line], metric: str) -> go.Scatter:
    x: list[float | None] = []
    y: list[float | None] = []
    for line in lines:
        one = line.one
        if one and one.rows_low is not None and one.rows_high is not None:
            x += [scaled(one.rows_low, metric), scaled(one.rows_high, metric), None]
            y += [line.place + 0.27, line.place + 0.27, None]
    thin = {"width": 1, "color": MUTED.light}
    return go.Scatter(x=x, y=y, mode="lines", line=thin, hoverinfo="skip")


def _marks(line: _Line, metric: str) -> go.Scatter:
    one = line.one
    assert one is not None and one.difference is not None
    colour = _COLOURS.get(one.verdict, GREY).light
    bars: dict[str, Any] = {}
    if one.low is not None and one.high is not None:
        reach = [scaled(one.high - one.difference, metric)]
        down = [scaled(one.difference - one.low, metric)]
        shape = {"thickness": 2.5, "width": 0, "color": colour}
        bars = {"error_x": {"array": reach, "arrayminus": down, **shape}}
    mark = {"symbol": _SYMBOLS[one.role], "size": 10, "color": colour, "line": {"width": 2}}
    return go.Scatter(
        x=[scaled(one.difference, metric)],
        y=[line.place],
        mode="markers",
        marker=mark | {"line": {"width": 2, "color": colour}},
        text=[_hover(one)],
        hovertemplate="%{text}<extra></extra>",
        name=plain(f"{one.cell} less {one.against}"),
        **bars,
    )


def _label(line: _Line) -> str:
    if line.one is None:
        return f"<b>{plain(line.heading)}</b>"
    one = line.one
    name = one.strategy
    if one.role == "control":
        name += f" less {one.against.removesuffix(f'-{one.budget:g}')}"
    return plain(name)


def _verdict(one: Comparison) -> str:
    return ", ".join(filter(None, [one.verdict, p_equals(one.t_p_holm)]))


def _hover(one: Comparison) -> str:
    metric, ends = one.metric, (one.low, one.high)
    said = [
        f"{one.cell} less {one.against}, {one.n} pairs: {one.verdict}",
        with_interval(one.difference, *ends, metric, signed=True),
    ]
    if one.rows_low is not None:
        rows = _interval(one.rows_low, one.rows_high, metric)
        said.append(f"over rows and seeds: {rows}")
    if one.t_p is not None and one.family is not None:
        said.append(f"paired t: {p_equals(one.t_p)}, Holm {p_equals(one.t_p_holm)}")
    if one.p is not None:
        flips = f"{p_equals(one.p)}, smallest possible {number(one.p_floor)}"
        said.append(f"sign flips: {flips}")
    if one.detectable is not None:
        said.append(f"detectable: {value(one.detectable, metric)}")
    return "<br>".join(map(plain, said))


def _alt(summary: Summary) -> str:
    said = "; ".join(
        f"{one.cell} less {one.against}: "
        f"{with_interval(one.difference, one.low, one.high, one.metric, signed=True)}, "
        f"{_verdict(one)}"
        for one in summary.comparisons
    )
    return f"Forest plot of differences in {title(summary.headline)}, paired by seed. {said}."


def _table(summary: Summary) -> Table:
    name = unit(summary.headline, difference=True)
    difference = f"difference ({name})" if name else "difference"
    interval = f"{100 * summary.confidence:g} % interval"
    head = ("cell", "less", "pairs", difference, interval, "over rows and seeds", "t: p")
    head += ("t: Holm p", "sign flips: p", "smallest possible p")
    head += ("detectable", "verdict")
    return Table(head, tuple(_row(one) for one in summary.comparisons))


def _row(one: Comparison) -> tuple[str, ...]:
    return (
        one.cell,
        one.against,
        str(one.n),
        value(one.difference, one.metric, signed=True),
        _interval(one.low, one.high, one.metric),
        _interval(one.rows_low, one.rows_high, one.metric),
        *(p_value(p) for p in (one.t_p, one.t_p_holm, one.p)),
        number(one.p_floor),
        value(one.detectable, one.metric),
        one.verdict,
    )


def _interval(low: float | None, high: float | None, metric: str) -> str:
    if low is None or high is None:
        return NONE
    return f"{value(low, metric, signed=True)} to {value(high, metric, signed=True)}"
