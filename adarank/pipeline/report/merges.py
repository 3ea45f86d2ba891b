"""Merged models on the page: a table, bars by task, and which singular components masks keep."""

from collections.abc import Sequence

import plotly.graph_objects as go

from adarank.comparison.wording import title
from adarank.pipeline.artifacts.merges import KeptComponents, Merges
from adarank.pipeline.report.chart import Chart, Table, View, axis, layout, plain
from adarank.pipeline.report.numbers import NONE, number, scaled, unit, value, with_interval
from adarank.pipeline.report.palette import BLUE, GREY, HEAT, INK

_BAR, _AROUND, _ROW = 26, 90, 18  # pixels


def merges_table(merges: Merges) -> Table:
    """Lay out every merge: its results by task, their mean, and what it is compared with."""
    heads = [f"{task} ({title(metric)})" for task, metric in merges.metrics.items()]
    verdicts = {one.merge: one.verdict for one in merges.comparisons}
    metric = merges.metric or ""
    own = [value(one.value, merges.metrics[one.task]) for one in merges.own]
    alone = merges.own_mean.mean if merges.own_mean else None
    rows = [("members alone", *own, value(alone, metric), "1", NONE, NONE, "")]
    for one in merges.merges:
        values = [value(task.value, merges.metrics[task.task]) for task in one.tasks]
        mean, gap = one.mean and one.mean.mean, one.gap
        less = with_interval(gap.mean, gap.low, gap.high, metric, signed=True) if gap else NONE
        share = number(one.normalised.mean, 3) if one.normalised else NONE
        verdict = verdicts.get(one.merge, NONE)
        rows.append((one.shown, *values, value(mean, metric), share, less, verdict, one.settings))
    head = ("merge", *heads, "mean", "normalised", "less the members'", "verdict", "parameters")
    return Table(head, tuple(rows))


def bars_chart(merges: Merges) -> Chart:
    """Draw every merge on each task as a bar, the task's own member as a line."""
    about = (
        f"Test, means over {len(merges.seeds)} seeds, one task at a time. The line is the task's "
        f"own adapter ({merges.members}), unmerged: what merging it with the others costs is the "
        "distance to it.",
        "Every merge is one body for all tasks, with each task's own head.",
    )
    views = tuple(_bars(merges, task) for task in merges.metrics)
    return Chart("merges", "Merged models by task", about, views, choice="Merged task")


def masks_chart(merges: Merges) -> Chart | None:
    """Draw which components each learned merge keeps; None where no merge learned masks."""
    names = [n for n in dict.fromkeys(k.merge for k in merges.kept) if _masked(merges.kept, n)]
    if not names:
        return None
    about = (
        "The first seed that was merged: a row a weight, a column a singular component of each "
        "task's update, the largest first. Dark is kept, light is not. A mask that is a truncation "
        "keeps the left of each task's columns; gaps among them are components dropped although "
        "larger than others that are kept.",
    )
    views = tuple(_masks([k for k in merges.kept if k.merge == name], name) for name in names)
    return Chart("masks", "Components that learned masks keep", about, views, choice="Merge")


def _bars(merges: Merges, task: str) -> View:
    metric = merges.metrics[task]
    own = next(one.value for one in merges.own if one.task == task)
    rows = [(m.shown, next(v for v in m.tasks if v.task == task)) for m in merges.merges]
    figure = go.Figure(
        go.Bar(
            x=[None if one.value is None else scaled(one.value, metric) for _, one in rows],
            y=[plain(name) for name, _ in rows],
            orientation="h",
            marker={"color": BLUE.light},
            text=[value(one.value, metric) for _, one in rows],
            textposition="inside",
            hovertemplate="%{y}: %{x}<extra></extra>",
        )
    )
    line = {"color": INK.light, "width": 2}
    at = None if own is None else scaled(own, metric)
    shape = {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": line}
    shown = unit(metric)
    figure.update_layout(
        **layout(_AROUND + _BAR * len(rows)),
        xaxis=axis(f"{title(metric)} on test{f', {shown}' if shown else ''}", rangemode="tozero"),
        yaxis=axis(type="category", autorange="reversed", ticks=""),
        shapes=[] if at is None else [shape],
    )
    table = Table(
        ("merge", title(metric), "normalised"),
        (
            ("member alone", value(own, metric), "1"),
            *((name, value(v.value, metric), number(v.normalised, 3)) for name, v in rows),
        ),
    )
    said = ", ".join(f"{name} {text}" for name, text, _ in table.rows)
    alt = f"Bars of {title(metric)} on {task}, a merge each, beside the member alone: {said}."
    return View(task, figure, alt, table)


def _masked(kept: Sequence[KeptComponents], name: str) -> bool:
    """Whether a merge has masks that leave something out."""
    return any("0" in one.mask for one in kept if one.merge == name)


def _masks(kept: Sequence[KeptComponents], name: str) -> View:
    weights = list(dict.fromkeys(one.weight for one in kept))
    tasks = list(dict.fromkeys(one.task for one in kept))
    masks = {(one.weight, one.task): one.mask for one in kept}
    table = Table(
        ("weight", *tasks),
        tuple(
            (w.removesuffix(".weight"), *(masks.get((w, t), NONE) for t in tasks)) for w in weights
        ),
    )
    return View(name, _mask_map(masks, weights, tasks), _masks_alt(kept, name, tasks), table)


def _mask_map(
    masks: dict[tuple[str, str], str], weights: Sequence[str], tasks: Sequence[str]
) -> go.Figure:
    """Draw which components are kept: a row a weight, its components of each task side by side."""
    widths = {task: max(len(masks.get((w, task), "")) for w in weights) for task in tasks}
    grid = [_row(masks, weight, widths) for weight in weights]
    starts = [sum(widths[t] + 1 for t in tasks[:at]) for at in range(len(tasks))]
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            y=[plain(weight.removesuffix(".weight")) for weight in weights],
            zmin=0,
            zmax=1,
            colorscale=[[0, HEAT[0].light], [1, HEAT[2].light]],
            showscale=False,
            xgap=1,
            ygap=1,
            hoverinfo="skip",
        )
    )
    figure.update_layout(
        **layout(_AROUND + _ROW * len(weights)),
        xaxis=axis(
            tickvals=[s + (widths[t] - 1) / 2 for s, t in zip(starts, tasks, strict=True)],
            ticktext=[plain(task) for task in tasks],
            showgrid=False,
            side="top",
            ticks="",
        ),
        yaxis=axis(
            type="category",
            autorange="reversed",
            showgrid=False,
            ticks="",
            tickfont={"size": 10, "color": GREY.light},
        ),
    )
    return figure


def _row(
    masks: dict[tuple[str, str], str], weight: str, widths: dict[str, int]
) -> list[int | None]:
    """A weight's components of all tasks, with an empty column between tasks."""
    row: list[int | None] = []
    for task, width in widths.items():
        mask = masks.get((weight, task), "")
        row += [int(one) for one in mask] + [None] * (width - len(mask) + 1)
    return row[:-1]


def _masks_alt(kept: Sequence[KeptComponents], name: str, tasks: Sequence[str]) -> str:
    said: list[str] = []
    for task in tasks:
        masks = [one.mask for one in kept if one.task == task]
        on, count = sum(m.count("1") for m in masks), sum(map(len, masks))
        leading = sum(m[: m.count("1")].count("1") for m in masks)
        share = f", {leading / on:.0%} of them leading" if on else ""
        said.append(f"{task}: {on} of {count} kept{share}")
    return f"Map of the components that {name} keeps. {'; '.join(said)}."
