"""The ranks of every plan as a heat map: block by kind, a plan at a time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go

from adarank.allocation.plan import RankPlan
from adarank.allocation.planned import PlannedModule
from adarank.pipeline.artifacts.places import PLANS
from adarank.pipeline.files.whole import read_json
from adarank.pipeline.report.chart import Chart, Table, View, axis, layout, plain
from adarank.pipeline.report.numbers import NONE
from adarank.pipeline.report.palette import HEAT

Plans = Mapping[str, RankPlan]

_BLOCK, _AROUND = 24, 110  # pixels
_NARROW = {"coloraxis": {"showscale": False}}  # the ranks stand in their fields anyway


def read_plans(task: str, cells: Sequence[str]) -> dict[str, RankPlan]:
    """Read a task's plans by their names; those that are absent are left out."""
    paths = {cell: plan_path(task, cell) for cell in cells}
    return {c: RankPlan.from_json(read_json(p)) for c, p in paths.items() if p.exists()}


def plan_path(task: str, cell: str) -> Path:
    """Name the file of a task's plan."""
    return PLANS / cell / f"{task}.json"


def rank_map(plans: Plans) -> Chart | None:
    """Draw every plan; None where there is none."""
    if not plans:
        return None
    about = (
        "The LoRA rank that each module was given, block 0 nearest the input. Plans of one budget "
        "share a scale of colours, so that they can be compared; all spend the same parameters "
        "unless a note above says otherwise.",
        "Where a block has several modules of a kind, their ranks stand side by side and the "
        "colour is that of their mean.",
    )
    drawn = [cell for cell, plan in plans.items() if plan.variants]
    if drawn:
        about += (
            f"Of {', '.join(drawn)}, whose ranks are random, the first of "
            f"{max(plans[cell].draws for cell in drawn)} draws is shown: different seeds train "
            "different draws.",
        )
    views = tuple(_view(cell, plan, _most(plan.budget, plans)) for cell, plan in plans.items())
    return Chart("ranks", "Ranks, block by kind", about, views, choice="Plan")


def _most(budget: float, plans: Plans) -> int:
    return max(1, *(plan.max_rank for plan in plans.values() if plan.budget == budget))


def _view(cell: str, plan: RankPlan, most: int) -> View:
    kinds = list(dict.fromkeys(module.kind for module in plan.modules))
    blocks = list(dict.fromkeys(module.block for module in plan.modules))
    grid = [[_ranks(plan.modules, block, kind) for kind in kinds] for block in blocks]
    figure = go.Figure(
        go.Heatmap(
            z=[[sum(ranks) / len(ranks) if ranks else None for ranks in row] for row in grid],
            text=[[_joined(ranks, "") for ranks in row] for row in grid],
            x=[plain(kind) for kind in kinds],
            y=[str(block) for block in blocks],
            texttemplate="%{text}",
            hovertemplate="block %{y}, %{x}: rank %{text}<extra></extra>",
            coloraxis="coloraxis",
            xgap=2,
            ygap=2,
        )
    )
    figure.update_layout(
        **layout(_AROUND + _BLOCK * len(blocks)),
        xaxis=axis(type="category", showgrid=False, side="top", ticks=""),
        yaxis=axis("block", type="category", autorange="reversed", showgrid=False, ticks=""),
        coloraxis={
            "cmin": 0,
            "cmax": most,
            "colorscale": [[i / 2, one.light] for i, one in enumerate(HEAT)],
            "colorbar": {"title": {"text": "rank"}, "thickness": 12, "outlinewidth": 0},
        },
    )
    rows = tuple(
        (str(block), *(_joined(ranks) for ranks in row))
        for block, row in zip(blocks, grid, strict=True)
    )
    table = Table(("block", *kinds), rows)
    return View(cell, figure, _alt(cell, plan, kinds, rows), table, _NARROW)


def _ranks(modules: Sequence[PlannedModule], block: int, kind: str) -> list[int]:
    return [module.rank for module in modules if (module.block, module.kind) == (block, kind)]


def _joined(ranks: Sequence[int], absent: str = NONE) -> str:
    return " ".join(map(str, ranks)) or absent


def _alt(cell: str, plan: RankPlan, kinds: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    said = "; ".join(
        f"block {block}: " + ", ".join(f"{k} {r}" for k, r in zip(kinds, ranks, strict=True))
        for block, *ranks in rows
    )
    return (
        f"Heat map of the ranks of {cell}, {plan.parameters:,} parameters, highest rank "
        f"{plan.max_rank}. {said}."
    )
