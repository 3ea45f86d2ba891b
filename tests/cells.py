"""A pico project as it stands before fine-tuning: model, dataset, one plan, parameters."""

import shutil
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from adarank.pipeline.files.tables import write_parquet
from adarank.pipeline.files.whole import folder_sha256, write_json
from tests.pico import pico_rows
from tests.plans import plan_json, uneven

LABELS = ["who", "what", "where"]
FINETUNE: dict[str, Any] = {
    "learning_rate": 2e-2,
    "tuning_seed": 99,
    "schedule": "linear",
    "warmup_fraction": 0.25,
    "decay_rate": 0.8,
    "decay_steps": 1000,
    "steps": 8,
    "batch_size": 8,
    "max_length": 32,
    "evaluate_every": 3,
    "select_by": "loss",
    "patience": None,
    "dropout": 0.1,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "bf16": "auto",
    "device": "cpu",
}
TASK: dict[str, Any] = {"source": "not read", "type": "classification"}
EVALUATE: dict[str, Any] = {"batch_size": 8, "train_rows": 10, "device": "cpu"}


def write_project(model: Path) -> None:
    """Fill data/ and write params.yaml, below the current folder; the cell is explicit-2."""
    shutil.copytree(model, "data/model")
    rows = {"train": 30, "validation": 12, "test": 15}
    for seed, (split, n) in enumerate(rows.items()):
        write_parquet(Path(f"data/tasks/questions/{split}.parquet"), pico_rows(n, seed=seed))
    description = {"type": "classification", "labels": LABELS, "rows": rows}
    write_json(Path("data/tasks/questions/task.json"), description)
    plan = plan_json(model, uneven, model_sha256=folder_sha256(Path("data/model")))
    write_json(Path("data/plans/explicit-2/questions.json"), plan)
    write_json(Path("data/sources/model.json"), {"source": "file:pico", "revision": None})
    write_params()


def write_params(*, seeds: object = (0, 1), evaluate: Any = None, **finetune: Any) -> None:
    """Write params.yaml, with what is given changed."""
    values = {
        "study": {"strategies": ["explicit"], "budgets": [2], "seeds": seeds},
        "model": {"source": "not read"},
        "tasks": {"questions": TASK},
        "finetune": FINETUNE | finetune,
        "evaluate": EVALUATE | (evaluate or {}),
    }
    with Path("params.yaml").open("w") as stream:
        YAML(typ="safe").dump(_plain(values), stream)


def files(folder: str) -> dict[str, bytes]:
    """Every file below a folder, by path."""
    found = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in found}


def _plain(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    return [_plain(v) for v in values] if isinstance(values, (list, tuple)) else values
