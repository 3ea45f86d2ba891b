"""What resizing did to an adapter, for people (a table) and for programs (JSON)."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from adarank.pipeline.adapters.resizing import Resized, lost_share, total_error
from adarank.pipeline.console.module_names import heading, shared_prefix


def show_resized(modules: Sequence[Resized], *, by_loss: bool) -> None:
    """Print ranks and errors, a row a module, on standard error.

    Args:
        modules: What became of each.
        by_loss: Whether the loss metric chose, and not the squared norm.
    """
    table = Table(title="resized adapter", show_footer=True)
    after = sum(module.parameters for module in modules)
    names = [module.name for module in modules]
    table.add_column(heading(names), footer="all", overflow="fold")
    table.add_column("rank", justify="right")
    table.add_column("parameters", footer=f"{after:,}", justify="right")
    table.add_column("relative error", footer=f"{total_error(modules):.4f}", justify="right")
    if by_loss:
        table.add_column("of the loss", footer=f"{lost_share(modules):.4f}", justify="right")
    worth = sum(module.worth for module in modules) or 1.0
    for module in modules:
        ranks = f"{module.before} -> {module.after}"
        error = f"{module.relative_error:.4f}"
        lost = [f"{module.lost / worth:.4f}"] if by_loss else []
        name = module.name.removeprefix(shared_prefix(names))
        table.add_row(name, ranks, f"{module.parameters:,}", error, *lost)
    Console(stderr=True).print(table)


def as_json(modules: Sequence[Resized], *, by_loss: bool) -> str:
    """Return the same as JSON: relative error and parameters in all, and a record a module.

    `lost_share` is what was left out, as a share of all, in the metric that chose: the squared norm
    or the estimated effect on the loss.
    """
    worth = sum(module.worth for module in modules) or 1.0
    records = [
        {
            "name": module.name,
            "rank_before": module.before,
            "rank": module.after,
            "parameters": module.parameters,
            "norm": module.norm,
            "relative_error": module.relative_error,
            "lost_share": module.lost / worth,
        }
        for module in modules
    ]
    value = {
        "metric": "loss" if by_loss else "squared_norm",
        "parameters": sum(module.parameters for module in modules),
        "highest_rank": max(module.after for module in modules),
        "relative_error": total_error(modules),
        "lost_share": lost_share(modules),
        "modules": records,
    }
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
