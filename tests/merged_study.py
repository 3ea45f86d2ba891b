"""A pico study of two tasks, trained and evaluated: what merges are made of."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from adarank.pipeline.artifacts.cell import Cell
from adarank.pipeline.files.tables import write_parquet
from adarank.pipeline.files.whole import read_json, write_json
from adarank.pipeline.params.loader import load
from stages import evaluate, finetune
from tests.cells import TASK, write_params, write_project
from tests.pico import pico_rows

TASKS = ("questions", "places")
MERGE: dict[str, Any] = {
    "strategy": "explicit",
    "budget": 2,
    "scaling": [0.3, 1.0],
    "validation_rows": 8,
    "steps": 4,
    "batch_size": 4,
    "rate": 0.05,
    "check_every": 2,
    "methods": {"masks": {"method": "adarank", "learn": "masks_only", "ratio": 0.05}},
}


def write_study(model: Path) -> None:
    """Fill data/ and metrics/ below the current folder, and write params.yaml."""
    write_project(model)
    for seed, (split, n) in enumerate({"train": 30, "validation": 12, "test": 15}.items()):
        rows = pico_rows(n, seed=10 + seed)
        rows["label"] = rows["label"] % 2
        write_parquet(Path(f"data/tasks/places/{split}.parquet"), rows)
    description = {"type": "classification", "labels": ["near", "far"]}
    write_json(Path("data/tasks/places/task.json"), description)
    plan = read_json(Path("data/plans/explicit-2/questions.json"))
    write_json(Path("data/plans/explicit-2/places.json"), plan)
    change_params()
    for task in TASKS:
        cell = Cell(task, "explicit", "2")
        finetune.run(load(finetune.Params, Path("params.yaml")), cell)
        evaluate.run(load(evaluate.Params, Path("params.yaml")), cell)


def change_params(*, merges: tuple[str, ...] = ("task_arithmetic",), **merge: Any) -> None:
    """Write params.yaml with the keys of merge that are given."""
    write_params()
    yaml = YAML(typ="safe")
    path = Path("params.yaml")
    values = yaml.load(path)
    values["tasks"] = dict.fromkeys(TASKS, TASK)
    values["study"] |= {
        "tasks": list(TASKS),
        "signals": ["stable_rank"],
        "task_signals": [],
        "reference": "explicit",
        "merge": list(merges),
    }
    values["merge"] = MERGE | merge
    with path.open("w") as stream:
        yaml.dump(values, stream)
