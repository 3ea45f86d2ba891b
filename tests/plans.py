"""Plans of any ranks for a pico model, as the JSON that the pipeline passes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoModel

from adarank.allocation.plan import RankPlan
from adarank.models.modules import Module, find_modules


def plan_json(
    folder: Path,
    rank: Callable[[Module], int],
    *,
    ratio: float = 2.0,
    budget: float = 2,
    tuner: str = "lora",
    model_sha256: str = "",
) -> dict[str, Any]:
    """A plan over every module of the model in `folder`, each of the rank that `rank` says."""
    rows = [_row(module, rank(module), ratio) for module in find_modules(_model(folder))]
    return {
        "schema": 1,
        "strategy": "explicit",
        "budget": budget,
        "tuner": tuner,
        "unit": "average_rank",
        "parameters": sum(row["parameters"] for row in rows),
        "model_sha256": model_sha256,
        "scale": {"policy": "ratio", "value": ratio},
        "modules": sorted(rows, key=lambda row: (row["block"], row["name"])),
    }


def make_plan(folder: Path, rank: Callable[[Module], int], **settings: Any) -> RankPlan:
    """The same, as a RankPlan."""
    return RankPlan.from_json(plan_json(folder, rank, **settings))


def with_draw(plan: dict[str, Any], folder: Path, rank: Callable[[Module], int]) -> dict[str, Any]:
    """A plan with a further draw of ranks, as a permuted control has."""
    draw = plan_json(folder, rank, ratio=plan["scale"]["value"])["modules"]
    return plan | {"schema": 2, "variants": [draw]}


def uneven(module: Module) -> int:
    """Ranks 0 to 3: none for the keys, and more for the deeper block."""
    return {"key": 0, "query": 1, "value": 3}.get(module.kind, 1 + module.block)


def _row(module: Module, rank: int, ratio: float) -> dict[str, Any]:
    return {
        "name": module.name,
        "block": module.block,
        "kind": module.kind,
        "rank": rank,
        "alpha": rank * ratio,
        "parameters": rank * module.parameters_per_rank,
    }


def _model(folder: Path) -> Any:
    return AutoModel.from_pretrained(folder)
