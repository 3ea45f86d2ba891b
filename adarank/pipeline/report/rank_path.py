"""Error on validation against the effective rank, along every run: where a second descent shows."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from adarank.comparison.wording import is_share, title
from adarank.pipeline.artifacts.summary import Summary
from adarank.pipeline.report.chart import Chart, Table, View, axis, layout, legend_below
from adarank.pipeline.report.curves import Curves
from adarank.pipeline.report.numbers import number, value
from adarank.pipeline.report.palette import colour, symbol

RANK = "effective_rank"


def rank_path_chart(summary: Summary, curves: Mapping[str, Curves]) -> Chart | None:
    """Draw each run's looks at validation in order; None where no curve has an effective rank.

    Args:
        summary: Names the headline metric and which way it improves.
        curves: By cell and seed, as `curves.read_curves` finds them.
    """
    metric, falls = summary.headline, summary.better == "lower"
    paths = {
        cell: found
        for cell, seeds in curves.items()
        if (found := {s: _path(curve, metric, falls=falls) for s, curve in seeds.items()})
        and any(len(path) for path in found.values())
    }
    if not paths:
        return None
    about = (
        "A run's way from its first look at validation to its last, the filled mark. Left to right "
        "is the effective rank of what was trained: exp of the entropy of an update's singular "
        "values, averaged over the modules, those without an adapter counting as 0.",
        "An error that rises and falls again as the rank grows would be a second descent.",
    )
    views = tuple(_view(cell, found, _error(metric, falls=falls)) for cell, found in paths.items())
    return Chart("rank-path", "Error against effective rank", about, views, choice="Path of")


def _error(metric: str, *, falls: bool) -> str:
    """Name what is drawn upwards: the metric where lower is better, else what it lacks."""
    if falls:
        return title(metric)
    return f"100 less {title(metric)}, %" if is_share(metric) else f"less {title(metric)}"


def _path(curve: pd.DataFrame, metric: str, *, falls: bool) -> pd.DataFrame:
    """Return step, rank, error, train_loss and loss at each look; empty without ranks."""
    column = f"validation_{metric}"
    columns = ["step", "rank", "error", "train_loss", "loss"]
    if not {RANK, column, "validation_loss"} <= set(curve.columns):
        return pd.DataFrame(columns=columns)
    looked = curve.loc[curve[RANK].notna() & curve[column].notna()]
    measured = looked[column].astype(float)
    error = measured if falls else 100 * (1 - measured) if is_share(metric) else -measured
    found = looked[["step", RANK, "train_loss", "validation_loss"]].assign(error=error)
    return found.rename(columns={RANK: "rank", "validation_loss": "loss"})[columns]


def _view(cell: str, paths: Mapping[int, pd.DataFrame], error: str) -> View:
    figure = go.Figure([_trace(s, path, at, error) for at, (s, path) in enumerate(paths.items())])
    figure.update_layout(
        **layout(430, legend=legend_below(), hovermode="closest"),
        xaxis=axis("effective rank, mean over modules"),
        yaxis=axis(f"validation, {error}"),
    )
    head = ("seed", "step", "effective rank", "train loss", "validation loss", error)
    rows = tuple(_row(seed, look) for seed, path in paths.items() for look in path.to_numpy())
    table = Table(head, rows)
    last = "; ".join(", ".join(row) for row in _last(paths))
    alt = f"Error of {cell} by effective rank, a line a seed. At the end, seed, step, rank: {last}."
    return View(cell, figure, alt, table, {"legend": {"font": {"size": 11}}})


def _trace(seed: int, path: pd.DataFrame, at: int, error: str) -> go.Scatter:
    marks = [f"{symbol(at)}-open"] * (len(path) - 1) + [symbol(at)]
    return go.Scatter(
        x=[round(one, 4) for one in path["rank"]],
        y=[float(f"{one:.5g}") for one in path["error"]],
        customdata=path[["step", "loss"]].round(4).to_numpy().tolist(),
        mode="lines+markers",
        name=f"seed {seed}",
        line={"width": 1.2, "color": colour(at), "dash": "dot"},
        marker={"symbol": marks, "size": 8, "color": colour(at)},
        hovertemplate=f"seed {seed}, step %{{customdata[0]}}, effective rank %{{x}}: {error} "
        "%{y}, loss %{customdata[1]}<extra></extra>",
    )


def _row(seed: int, look: Sequence[float]) -> tuple[str, ...]:
    step, rank, error, train, loss = look
    shown = value(error, "")
    return f"seed {seed}", str(int(step)), number(rank), number(train), number(loss), shown


def _last(paths: Mapping[int, pd.DataFrame]) -> list[tuple[str, ...]]:
    return [_row(seed, path.to_numpy()[-1])[:3] for seed, path in paths.items() if len(path)]
