"""Training curves: loss on train and validation by optimiser step, a cell at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from adarank.comparison.wording import title
from adarank.errors import input_error
from adarank.pipeline.artifacts.summary import Cell, Summary
from adarank.pipeline.report.chart import Chart, Table, View, axis, layout, legend_below
from adarank.pipeline.report.numbers import NONE, number, scaled, unit, value
from adarank.pipeline.report.palette import colour, symbol

CURVES = Path("data/curves")
POINTS = 250
"""Points of a curve at most; longer ones are averaged over runs of steps."""

Curves = Mapping[int, pd.DataFrame]

_LOSS = "validation_loss"


def read_curves(
    task: str, cells: Sequence[str], seeds: Sequence[int]
) -> dict[str, dict[int, pd.DataFrame]]:
    """Read the curves of a task's cells by seed; seeds and cells without any are left out.

    Raises:
        InputError: A file that is no table of steps and losses.
    """
    found: dict[str, dict[int, pd.DataFrame]] = {}
    for cell in cells:
        paths = {seed: CURVES / task / cell / f"seed-{seed}.tsv" for seed in seeds}
        curves = {seed: _read(path) for seed, path in paths.items() if path.exists()}
        if any(len(curve) for curve in curves.values()):
            found[cell] = curves
    return found


def _read(path: Path) -> pd.DataFrame:
    try:
        curve = pd.read_csv(path, sep="\t")
    except ValueError as error:
        raise _not_a_curve(path, str(error)) from None
    if not {"step", "train_loss"} <= set(curve.columns):
        raise _not_a_curve(path, f"columns {', '.join(map(str, curve.columns))}")
    return curve


def _not_a_curve(path: Path, got: str) -> Exception:
    return input_error(
        "not a training curve",
        where=str(path),
        got=got,
        expected="a table with the columns step and train_loss",
        remedy="delete its folder and run `dvc repro`, which restores or remakes it",
    )


def curve_chart(summary: Summary, curves: Mapping[str, Curves]) -> Chart | None:
    """Draw every cell's curves; None where there are none."""
    if not curves:
        return None
    longest = max(len(curve) for seeds in curves.values() for curve in seeds.values())
    per_point = -(-longest // POINTS)
    about = [
        "Thin lines: loss on the batches of train. Marks: on validation, by which the weights were "
        "chosen. A colour and a mark a seed; click a seed in the legend to hide it.",
    ]
    if per_point > 1:
        about.append(f"Each point of a line is the mean of {per_point} steps.")
    views = tuple(
        _view(cell, Drawing(summary.headline, summary.cells[cell], seeds, per_point))
        for cell, seeds in curves.items()
    )
    return Chart("curves", "Training curves", tuple(about), views, choice="Cell")


@dataclass(frozen=True)
class Drawing:
    """What a view of curves is made of.

    Attributes:
        headline: The study's metric, drawn below the loss where validation has it.
        cell: The cell; its failed seeds are marked.
        curves: A table of steps by seed.
        per_point: Steps that a point stands for.
    """

    headline: str
    cell: Cell
    curves: Curves
    per_point: int

    @property
    def second(self) -> str | None:
        """The column of the headline metric on validation, where it is not the loss."""
        column = f"validation_{self.headline}"
        has = any(column in curve and curve[column].notna().any() for curve in self.curves.values())
        return column if has and column != _LOSS else None

    def name(self, seed: int) -> str:
        """How a seed is named."""
        failed = any(failure.seed == seed for failure in self.cell.failed)
        return f"seed {seed} (failed)" if failed else f"seed {seed}"


def _view(cell: str, drawing: Drawing) -> View:
    traces = [t for i, seed in enumerate(drawing.curves) for t in _traces(drawing, seed, i)]
    figure = go.Figure(traces)
    figure.update_layout(
        **layout(560 if drawing.second else 430, legend=legend_below(), hovermode="closest"),
        **_axes(drawing),
    )
    table = _table(drawing)
    return View(cell, figure, _alt(cell, table), table, {"legend": {"font": {"size": 11}}})


def _axes(drawing: Drawing) -> dict[str, Any]:
    if drawing.second is None:
        return {"xaxis": axis("optimiser step", rangemode="tozero"), "yaxis": axis("loss")}
    suffix = unit(drawing.headline)
    name = f"validation {title(drawing.headline)}{f', {suffix}' if suffix else ''}"
    return {
        "xaxis": axis("optimiser step", rangemode="tozero", anchor="y2"),
        "yaxis": axis("loss", domain=[0.45, 1]),
        "yaxis2": axis(name, domain=[0, 0.38]),
    }


def _traces(drawing: Drawing, seed: int, at: int) -> list[go.Scatter]:
    curve, name = drawing.curves[seed], drawing.name(seed)
    group = {"name": name, "legendgroup": str(seed)}
    smooth = thinned(curve, drawing.per_point)
    thin = {"width": 1.2, "color": colour(at)}
    train = go.Scatter(
        x=smooth["step"].tolist(),
        y=_rounded(smooth["train_loss"].tolist()),
        mode="lines",
        line=thin,
        opacity=0.75,
        hovertemplate=f"{name}, step %{{x}}: train loss %{{y}}<extra></extra>",
        showlegend=False,
        **group,
    )
    marked = {"mode": "lines+markers", "line": thin | {"dash": "dot"}}
    marked["marker"] = {"symbol": symbol(at), "size": 8, "color": colour(at)}
    looked = _looked_at(curve, _LOSS)
    loss = go.Scatter(
        x=looked["step"].tolist(),
        y=_rounded(looked[_LOSS].tolist()),
        hovertemplate=f"{name}, step %{{x}}: validation loss %{{y}}<extra></extra>",
        **marked,
        **group,
    )
    return [train, loss, *_second(drawing, seed, marked | group)]


def _second(drawing: Drawing, seed: int, style: dict[str, Any]) -> list[go.Scatter]:
    column = drawing.second
    if column is None:
        return []
    looked = _looked_at(drawing.curves[seed], column)
    text = f"{title(drawing.headline)} %{{y}}{unit(drawing.headline)}"
    y = [scaled(one, drawing.headline) for one in looked[column].tolist()]
    return [
        go.Scatter(
            x=looked["step"].tolist(),
            y=_rounded(y),
            yaxis="y2",
            showlegend=False,
            hovertemplate=f"{drawing.name(seed)}, step %{{x}}: validation {text}<extra></extra>",
            **style,
        )
    ]


def thinned(curve: pd.DataFrame, per_point: int) -> pd.DataFrame:
    """Average step and train_loss over runs of `per_point` rows; the last may be shorter."""
    plain = pd.DataFrame(curve[["step", "train_loss"]].astype(float))
    runs = pd.RangeIndex(len(plain)) // per_point
    return pd.DataFrame(plain.groupby(runs).mean())


def _looked_at(curve: pd.DataFrame, column: str) -> pd.DataFrame:
    if column not in curve:
        return pd.DataFrame({"step": [], column: []})
    return pd.DataFrame(curve.loc[curve[column].notna(), ["step", column]])


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [float(f"{one:.5g}") if isfinite(one) else None for one in values]


def _table(drawing: Drawing) -> Table:
    head = ("seed", "steps", "last train loss", "least validation loss", "at step")
    if drawing.second:
        suffix = unit(drawing.headline)
        head += (f"last validation {title(drawing.headline)}{f' ({suffix})' if suffix else ''}",)
    return Table(head, tuple(_row(drawing, seed) for seed in drawing.curves))


def _row(drawing: Drawing, seed: int) -> tuple[str, ...]:
    curve = drawing.curves[seed]
    looked = _looked_at(curve, _LOSS)
    row = (
        drawing.name(seed),
        str(len(curve)),
        number(_last(curve, "train_loss")),
        *_least(looked),
    )
    if drawing.second is None:
        return row
    last = _last(_looked_at(curve, drawing.second), drawing.second)
    return *row, value(last, drawing.headline)


def _least(looked: pd.DataFrame) -> tuple[str, str]:
    if looked.empty:
        return NONE, NONE
    best = looked.loc[looked[_LOSS].astype(float).idxmin()]
    return number(float(best[_LOSS])), str(int(best["step"]))


def _last(curve: pd.DataFrame, column: str) -> float | None:
    return float(curve[column].iloc[-1]) if len(curve) else None


def _alt(cell: str, table: Table) -> str:
    said = "; ".join(
        f"{seed}: " + ", ".join(f"{n} {v}" for n, v in zip(table.head[1:], row, strict=True))
        for seed, *row in table.rows
    )
    return f"Training curves of {cell}: loss by optimiser step, a line a seed. {said}."
