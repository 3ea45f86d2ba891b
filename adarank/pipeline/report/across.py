"""All tasks together: the table of means, and the gains of every task as a heat map."""

from collections.abc import Mapping

import plotly.graph_objects as go

from adarank.comparison.wording import in_points, title
from adarank.pipeline.artifacts.summary import AcrossRow, Comparison, StudySummary
from adarank.pipeline.report.chart import Chart, Table, View, axis, layout, plain
from adarank.pipeline.report.numbers import MINUS, NONE
from adarank.pipeline.report.palette import DIVERGING, INK

_ROW, _AROUND = 26, 120  # pixels

Gains = Mapping[tuple[str, str], Comparison]


def across_table(study: StudySummary) -> Table | None:
    """Return strategies by tasks with the average last; None in a study of one task.

    Means are in points (hundredths) where the task's metric is bounded, else in its own unit.
    """
    if study.across is None:
        return None
    heads = [f"{task} ({title(one.headline)})" for task, one in study.tasks.items()]
    return Table(("cell", *heads, "average"), tuple(_row(row, study) for row in study.across.table))


def _row(row: AcrossRow, study: StudySummary) -> tuple[str, ...]:
    means = {one.task: one.value for one in row.means}
    texts = [_mean(means.get(task), one.headline) for task, one in study.tasks.items()]
    # Tasks in points are averaged where there are any; else all share one metric.
    metrics = sorted((one.headline for one in study.tasks.values()), key=in_points)
    return row.plan, *texts, _mean(row.average, metrics[-1])


def _mean(value: float | None, metric: str) -> str:
    if value is None:
        return NONE
    return f"{value:{'.2f' if in_points(metric) else '.4f'}}".replace("-", MINUS)


def gains_chart(study: StudySummary) -> Chart | None:
    """Draw each cell's gain over the reference on every task; None where tasks share no unit."""
    tasks = [task for task, one in study.tasks.items() if in_points(one.headline)]
    gains = {
        (one.cell, one.task): one
        for one in study.comparisons
        if one.role == "reference" and one.task in tasks
    }
    if study.across is None or len(tasks) < 2 or not gains:
        return None
    about = [
        f"Mean gain over {study.reference} of the same budget, in points: paired by seed, signed "
        "so that more is better. Blue is a gain, orange a loss; white is no difference. The "
        "colours do not show which gains are beyond chance: a star marks a verdict of better or "
        "worse on that task.",
    ]
    left_out = [task for task in study.tasks if task not in tasks]
    if left_out:
        about.append(f"Not drawn, as their metrics are not in points: {', '.join(left_out)}.")
    plans = list(dict.fromkeys(plan for plan, _ in gains))
    texts = [[_text(gains.get((plan, task))) for task in tasks] for plan in plans]
    rows = tuple((plan, *row) for plan, row in zip(plans, texts, strict=True))
    table = Table(("cell", *tasks), rows)
    view = View("", _figure(gains, tasks, plans, texts), _alt(study, table), table)
    return Chart("gains-across", "Gains by task, in points", tuple(about), (view,))


def _figure(gains: Gains, tasks: list[str], plans: list[str], texts: list[list[str]]) -> go.Figure:
    numbers = [[_points(gains.get((plan, task))) for task in tasks] for plan in plans]
    # The scale is symmetric, so that white is zero.
    most = max((abs(x) for row in numbers for x in row if x is not None), default=0) or 1
    figure = go.Figure(
        go.Heatmap(
            z=numbers,
            text=texts,
            x=[plain(task) for task in tasks],
            y=[plain(plan) for plan in plans],
            texttemplate="%{text}",
            textfont={"color": INK.light},
            hovertemplate="%{y} on %{x}: %{text} points<extra></extra>",
            coloraxis="coloraxis",
            xgap=2,
            ygap=2,
        )
    )
    figure.update_layout(
        **layout(_AROUND + _ROW * len(plans)),
        xaxis=axis(type="category", showgrid=False, side="top", ticks=""),
        yaxis=axis(type="category", autorange="reversed", showgrid=False, ticks=""),
        coloraxis={
            "cmin": -most,
            "cmax": most,
            "colorscale": [[i / 2, one.light] for i, one in enumerate(DIVERGING)],
            "colorbar": {"title": {"text": "points"}, "thickness": 12, "outlinewidth": 0},
        },
    )
    return figure


def _points(one: Comparison | None) -> float | None:
    return None if one is None or one.gain is None else 100 * one.gain


def _text(one: Comparison | None) -> str:
    points = _points(one)
    if one is None or points is None:
        return NONE
    star = "*" if one.verdict in ("better", "worse") else ""
    return f"{points:+.2f}{star}".replace("-", MINUS)


def _alt(study: StudySummary, table: Table) -> str:
    said = "; ".join(
        f"{plan}: " + ", ".join(f"{t} {v}" for t, v in zip(table.head[1:], row, strict=True))
        for plan, *row in table.rows
    )
    return f"Heat map of the gains over {study.reference} by task, in points. {said}."
