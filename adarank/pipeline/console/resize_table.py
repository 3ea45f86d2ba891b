"""What resizing did to an adapter, for people (a table) and for programs (JSON)."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from adarank.pipeline.adapters.resizing import Resized, total_error


def show_resized(modules: Sequence[Resized]) -> None:
    """Print ranks and errors, a row a module, on standard error."""
    table = Table(title="resized adapter", show_footer=True)
    after = sum(module.parameters for module in modules)
    table.add_column("module", footer="all")
    table.add_column("rank", justify="right")
    table.add_column("parameters", footer=f"{after:,}", justify="right")
    table.add_column("relative error", footer=f"{total_error(modules):.4f}", justify="right")
    for module in modules:
        ranks = f"{module.before} -> {module.after}"
        error = f"{module.relative_error:.4f}"
        table.add_row(module.name, ranks, f"{module.parameters:,}", error)
    Console(stderr=True).print(table)


def as_json(modules: Sequence[Resized]) -> str:
    """Give the same as JSON: relative error and parameters in all, and a record a module."""
    records = [
        {
            "name": module.name,
            "rank_before": module.before,
            "rank": module.after,
            "parameters": module.parameters,
            "norm": module.norm,
            "relative_error": module.relative_error,
        }
        for module in modules
    ]
    value = {
        "parameters": sum(module.parameters for module in modules),
        "highest_rank": max(module.after for module in modules),
        "relative_error": total_error(modules),
        "modules": records,
    }
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
