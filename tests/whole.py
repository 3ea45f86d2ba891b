"""A whole pico project, every stage of it run: what bad input is tried on."""

import shutil
from pathlib import Path
from typing import Any

from click.testing import Result
from ruamel.yaml import YAML
from typer import Typer
from typer.testing import CliRunner

from adarank.commands import app as command
from stages import (
    allocate,
    best,
    check,
    download,
    download_task,
    evaluate,
    finetune,
    score,
    score_task,
    summarize,
)
from tests.pico import pico_rows

TOP = Path(__file__).parents[1]
APPS: dict[str, Typer] = {
    "download": download.app,
    "download_task": download_task.app,
    "score": score.app,
    "score_task": score_task.app,
    "allocate": allocate.app,
    "finetune": finetune.app,
    "evaluate": evaluate.app,
    "summarize": summarize.app,
    "best": best.app,
    "check": check.app,
    "adarank": command.app,
}
CELLS = ("uniform", "disagreement")
TASK: dict[str, Any] = {
    "source": "file:source",
    "splits": {"train": "train.csv", "validation": "validation.csv", "test": "test.csv"},
}
CHANGED: dict[str, dict[str, Any]] = {
    "model": {"source": "file:source/model", "sha256": {}},
    "probe": {"rows": 4, "source": "source/probe.txt", "max_length": 32},
    "score": {"estimator": "linearized", "device": "cpu"},
    "signal": {"rows": 8, "batch_size": 8, "warmup_steps": 1, "device": "cpu"},
    "study": {
        "task_signals": ["weight_gradient"],
        "strategies": ["uniform", "disagreement"],
        "budgets": [2],
        "seeds": [0],
    },
    "finetune": {"steps": 2, "evaluate_every": 2, "max_length": 32, "device": "cpu"},
    "evaluate": {"train_rows": 8, "device": "cpu"},
}


def call(line: str) -> Result:
    """Run a command in this process, as `python -m stages.NAME ...` or `adarank ...` would."""
    name, *arguments = line.split()
    return CliRunner().invoke(APPS[name], arguments)


def write_whole_project(model: Path) -> None:
    """Write sources and params.yaml below the current folder, and run every stage on them."""
    shutil.copytree(model, "source/model")
    for seed, (split, n) in enumerate({"train": 24, "validation": 9, "test": 9}.items()):
        pico_rows(n, seed=seed).to_csv(f"source/{split}.csv", index=False)
    Path("source/probe.txt").write_text("\n".join(pico_rows(6, seed=5)["text"]))
    change_params(TOP / "params.yaml", CHANGED, TASK)
    lines = ["download model", "download_task --task questions", "score --signal disagreement"]
    lines += ["score_task --task questions --signal weight_gradient"]
    stages = ("allocate", "finetune", "evaluate")
    lines += [
        f"{stage} {'' if stage == 'allocate' else '--task questions '}--strategy {cell} --budget 2"
        for stage in stages
        for cell in CELLS
    ]
    for line in [*lines, "summarize", "check"]:
        done = call(line)
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"


def change_params(
    read: Path, changed: dict[str, dict[str, Any]], task: dict[str, Any] | None = None
) -> None:
    """Write params.yaml from another, keys of its sections and of its task changed."""
    yaml = YAML()
    values = yaml.load(read)
    for section, keys in changed.items():
        values[section].update(keys)
    values["tasks"]["questions"].update(task or {})
    yaml.dump(values, Path("params.yaml"))
