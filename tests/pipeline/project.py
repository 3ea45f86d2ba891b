"""A copy of the project as a Git repository of its own, on a pico model and a few local rows."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from ruamel.yaml import YAML

from tests.pico import pico_rows, save_pico_model
from tests.pipeline.closure import ROOT

COPIED = ("adarank", "stages", ".dvc", "dvc.yaml", "params.yaml", ".dvcignore", ".gitignore")
PATIENCE = 600
"""After how many seconds a DVC command is taken to hang; the longest needs about a minute."""
_SKIPPED = shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")


@dataclass(frozen=True)
class Project:
    """A folder with the project in it, and DVC to run there.

    Attributes:
        path: The folder; DVC's cache is its own.
        environment: What is added to the environment of every command.
        umask: The permissions that new files go without; -1: those of the tests themselves.
    """

    path: Path
    environment: dict[str, str] = field(default_factory=dict)
    umask: int = -1

    def dvc(self, *arguments: str, **environment: str) -> str:
        """Run a DVC command; its whole output, or an error that holds it."""
        done = self.attempt(*arguments, **environment)
        assert done.returncode == 0, f"dvc {' '.join(arguments)}\n{done.stdout}"
        return done.stdout

    def attempt(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a DVC command that may fail, for at most `PATIENCE` seconds."""
        command = [sys.executable, "-m", "dvc", *arguments]
        # No pipe: what a command leaves running would hold it open, and its reader with it.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                command,
                cwd=self.path,
                env=_environment(self.environment | environment),
                umask=self.umask,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=PATIENCE,
            )
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read())

    def repro(self, *arguments: str, **environment: str) -> list[str]:
        """Run `dvc repro`; the stages that really ran, in order."""
        output = self.dvc("repro", *arguments, **environment)
        return re.findall(r"^Running stage '([^']+)'", output, flags=re.MULTILINE)

    def stale(self) -> set[str]:
        """List the stages whose own inputs changed, as `dvc status` tells them."""
        with Repo(str(self.path)) as repo:
            return {address.rpartition(":")[2] for address in repo.status()}

    def change(self, **values: Any) -> None:
        """Set keys of params.yaml; `study__seeds=[1]` sets study.seeds."""
        yaml = YAML()
        path = self.path / "params.yaml"
        params = yaml.load(path)
        for keys, value in values.items():
            *above, last = keys.split("__")
            section = params
            for key in above:
                section = section[key]
            section[last] = value
        yaml.dump(params, path)

    def edit(self, file: str) -> None:
        """Append a comment to a file of code, as an edit would."""
        with (self.path / file).open("a", encoding="utf-8") as stream:
            stream.write("# an edit\n")

    def lock(self) -> str:
        """Read dvc.lock."""
        return (self.path / "dvc.lock").read_text(encoding="utf-8")


def make_project(folder: Path, data: Path) -> Project:
    """Copy the project's code and pipeline to `folder`; its parameters read `data` alone."""
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=_SKIPPED)
        else:
            shutil.copy(source, folder / name)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    project = Project(folder)
    project.change(
        model__source=f"file:{data / 'model'}",
        model__sha256={},
        tasks__questions__source=f"file:{data}",
        tasks__questions__splits={"train": "train.csv", "validation": None, "test": "test.csv"},
        probe__rows=4,
        allocate__seed=0,
        score__trials=2,
        signal__rows=16,
        signal__batch_size=8,
        signal__warmup_steps=2,
        study__task_signals=["weight_gradient"],
        study__strategies=["uniform", "disagreement"],
        study__budgets=[2],
        study__seeds=[0, 1],
        finetune__steps=4,
        finetune__evaluate_every=2,
    )
    return project


def make_data(folder: Path) -> Path:
    """Write a pico model and two CSV files of rows for pico projects to read."""
    folder.mkdir()
    save_pico_model(folder / "model")
    pico_rows(90).to_csv(folder / "train.csv", index=False)
    pico_rows(30, seed=1).to_csv(folder / "test.csv", index=False)
    return folder


def _environment(added: dict[str, str]) -> dict[str, str]:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    quiet = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    # Only the copy's code may run, so nothing of the surrounding project is on the path.
    plain = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "RUN")}
    return {**plain, "PATH": tools, "DVC_NO_ANALYTICS": "1", **quiet, **added}
