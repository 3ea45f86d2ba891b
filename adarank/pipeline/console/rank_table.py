"""A plan for people to read: the rank of every module, by block and kind, and what all cost."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from adarank.allocation.plan import RankPlan
from adarank.allocation.plan_cost import PlanCost
from adarank.allocation.planned import PlannedModule
from adarank.pipeline.console.reporting import say


def show_ranks(plan: RankPlan, scores: pd.DataFrame) -> None:
    """Print the ranks, a row a block and a column a kind, and what they cost.

    Args:
        plan: The plan.
        scores: The score table that it was made from, or its modules: they give the cost of a
            rank.
    """
    Console(stderr=True).print(_table(plan))
    costs = scores.drop_duplicates("module")["parameters_per_rank"]
    may = plan.budget * sum(costs.tolist())
    adapted = f"{len(plan.adapted)} of {len(plan.modules)} modules adapted"
    spent = f"{plan.parameters:,} of {may:,.10g} parameters"
    if plan.cost:
        spent = f"{_cost(plan.cost)}; {plan.parameters:,} parameters (uniform has {may:,.10g})"
    say(f"{spent}; {adapted}; highest rank {plan.max_rank}")


def _cost(cost: PlanCost) -> str:
    words = {"training_flops": (1e9, "GFLOP a step"), "memory": (2**20, "MiB of training memory")}
    size, name = words[cost.unit]
    return f"{cost.spent[0] / size:,.4g} of {cost.budget / size:,.4g} {name}"


def _table(plan: RankPlan) -> Table:
    kinds = list(dict.fromkeys(module.kind for module in plan.modules))
    columns = {kind: [module for module in plan.modules if module.kind == kind] for kind in kinds}
    drawn = f", draw 1 of {plan.draws}" if plan.variants else ""
    title = f"ranks: {plan.strategy}, budget {plan.budget:g}{drawn}"
    table = Table(title=title, show_footer=True)
    table.add_column("block", footer="parameters")
    for kind, modules in columns.items():
        table.add_column(kind, footer=f"{sum(m.parameters for m in modules):,}", justify="right")
    for block in dict.fromkeys(module.block for module in plan.modules):
        cells = (_cell(modules, block) for modules in columns.values())
        table.add_row(str(block), *cells)
    return table


def _cell(modules: list[PlannedModule], block: int) -> str:
    return " ".join(str(module.rank) for module in modules if module.block == block) or "-"
