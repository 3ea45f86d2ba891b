"""Scores by block, a line a kind, with error bars; a signal at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from adarank.pipeline.artifacts.places import SCORE_METRICS
from adarank.pipeline.files.whole import read_json
from adarank.pipeline.report.chart import Chart, Table, View, axis, layout, legend_below, plain
from adarank.pipeline.report.numbers import number
from adarank.pipeline.report.palette import colour, dash, symbol

Row = dict[str, Any]

_NARROW: dict[str, Any] = {"height": 480, "legend": {"font": {"size": 11}}}


def read_scores(places: Mapping[str, str]) -> dict[str, list[Row]]:
    """Read the scores of some signals, a row a module; those not scored are left out.

    Args:
        places: By signal, the task it was scored for, or `model`.
    """
    return {signal: found["modules"] for signal, found in _records(places)}


def read_caveats(places: Mapping[str, str]) -> list[str]:
    """Read what the score stages said of some signals' worth, a sentence each."""
    return [f"{s}: {line}." for s, found in _records(places) for line in found.get("caveats", ())]


def _records(places: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
    paths = {signal: SCORE_METRICS / place / f"{signal}.json" for signal, place in places.items()}
    return [(signal, read_json(path)) for signal, path in paths.items() if path.exists()]


def score_chart(scores: Mapping[str, Sequence[Row]], caveats: Sequence[str] = ()) -> Chart | None:
    """Draw every signal; None where there is none.

    Args:
        scores: A row a module, by signal.
        caveats: What to say below the rest.
    """
    if not scores:
        return None
    about = (
        "The mean score of every module by the depth of its block, a line a kind. Bars are 1.96 "
        "standard errors over the trials; a signal that is computed once has none.",
        "Signals differ in their units: compare the shapes, not the heights.",
        *caveats,
    )
    views = tuple(_view(signal, rows) for signal, rows in scores.items())
    return Chart("scores", "Scores by block", about, views, choice="Signal")


def _view(signal: str, rows: Sequence[Row]) -> View:
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    figure = go.Figure([_trace(kind, at, rows) for at, kind in enumerate(kinds)])
    figure.update_layout(
        **layout(430, legend=legend_below(), hovermode="closest"),
        xaxis=axis("block", dtick=max(1, len({row["block"] for row in rows}) // 12)),
        yaxis=axis(f"score ({plain(signal)})", rangemode="tozero", exponentformat="power"),
    )
    head = ("module", "block", "kind", "score", "standard error")
    table = Table(head, tuple(_row(row) for row in rows))
    return View(signal, figure, _alt(signal, kinds, rows), table, _NARROW)


def _trace(kind: str, at: int, rows: Sequence[Row]) -> go.Scatter:
    own = sorted((row for row in rows if row["kind"] == kind), key=lambda row: row["block"])
    blocks = [row["block"] for row in own]
    # A line through several modules of one block would zigzag and mean nothing.
    single = len(set(blocks)) == len(blocks)
    reach = [row["high"] - row["mean"] for row in own]
    return go.Scatter(
        x=blocks,
        y=[row["mean"] for row in own],
        error_y={"array": reach, "thickness": 1.2, "width": 3, "visible": any(reach)},
        mode="lines+markers" if single else "markers",
        line={"width": 1.5, "dash": dash(at), "color": colour(at)},
        marker={"symbol": symbol(at), "size": 8, "color": colour(at)},
        name=plain(kind),
        text=[plain(f"{row['module']}: {_said(row)}") for row in own],
        hovertemplate="%{text}<extra></extra>",
    )


def _said(row: Row) -> str:
    error = row["standard_error"]
    return number(row["mean"]) + ("" if error is None else f" ± {number(1.96 * error, 2)}")


def _row(row: Row) -> tuple[str, ...]:
    numbers = number(row["mean"]), number(row["standard_error"], 2)
    return row["module"], str(row["block"]), row["kind"], *numbers


def _alt(signal: str, kinds: Sequence[str], rows: Sequence[Row]) -> str:
    said = "; ".join(
        f"{kind}: "
        + ", ".join(f"{_said(row)} in block {row['block']}" for row in rows if row["kind"] == kind)
        for kind in kinds
    )
    return f"Line chart of the score {signal} by block, a line a kind. {said}."
