"""What the cells' stages took here, read from timings/ for people alone."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adarank.pipeline.files.whole import read_json

TIMINGS = Path("timings")

_TRAINING = {
    "training s": "training_seconds",
    "tokens/s": "tokens_per_second",
    "peak MiB": "peak_mib",
    "peak GPU MiB": "peak_gpu_mib",
}
"""A column's title, and its name in finetune-CELL.json."""


def stage_costs(cells: Iterable[str]) -> dict[str, dict[str, float]]:
    """Read what fine-tuning and evaluating each cell took.

    Args:
        cells: The cells' names, such as `trec/uniform-4`. One that was restored from
            DVC's cache has no times here.

    Returns:
        By cell that has some, a number by title: seconds, tokens per second, MiB.
    """
    found = {name: _cost(name) for name in cells}
    return {name: cost for name, cost in found.items() if cost}


def score_costs() -> dict[str, float]:
    """Read how many seconds each signal took that was scored here, by name.

    The name says where parts that an earlier run or other machines had made are not in them.
    """
    found: dict[str, float] = {}
    for file in sorted(TIMINGS.glob("score-*.json")):
        timing, name = read_json(file), file.stem.partition("-")[2]
        name += ", without what others had finished" if timing.get("parts_found") else ""
        found[name] = timing["seconds"]
    return found


def _cost(cell: str) -> dict[str, float]:
    label = cell.replace("/", "-")
    finetune, evaluate = timing(f"finetune-{label}"), timing(f"evaluate-{label}")
    entries = {"finetune s": finetune.get("seconds"), "evaluate s": evaluate.get("seconds")}
    entries |= {title: finetune.get(name) for title, name in _TRAINING.items()}
    return {title: value for title, value in entries.items() if value is not None}


def timing(name: str) -> dict[str, Any]:
    """Read what a stage, such as `finetune-CELL`, took here; empty where it did not run here."""
    path = TIMINGS / f"{name}.json"
    return read_json(path) if path.exists() else {}
