"""A study in a Git and DVC repository of its own whose stages take no time and need no torch.

Its results follow from its parameters, so a test says in params.yaml what a change did to them.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.pipeline.closure import ROOT

PIPELINE = """\
stages:
  plan:
    matrix:
      strategy: ${study.strategies}
      budget: ${study.budgets}
    cmd: python tiny.py plan ${item.strategy} ${item.budget}
    deps:
      - tiny.py
    params:
      - train
    outs:
      - data/plans/${item.strategy}-${item.budget}.json
      - data/curves/${item.strategy}-${item.budget}
    plots:
      - metrics/cells/${item.strategy}-${item.budget}.json:
          cache: false
  gather:
    cmd: python tiny.py gather
    deps:
      - data/plans
      - metrics/cells
      - tiny.py
    params:
      - study
      - train.metric
    metrics:
      - metrics/headline.json:
          cache: false
    plots:
      - metrics/summary.json:
          cache: false
      - metrics/frontier.tsv:
          cache: false
          x: budget
          y: mean
          title: Results by budget
params:
  - params.yaml
plots:
  - data/curves:
      x: step
      y: loss
      title: Loss by step
"""

CODE = """\
import json
import os
import sys
import time
from pathlib import Path
from ruamel.yaml import YAML

time.sleep(float(os.environ.get("TINY_SECONDS", "0")))
P = YAML(typ="safe").load(Path("params.yaml"))
SEEDS, METRICS = P["study"]["seeds"], ("accuracy", "macro_f1")


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def plan(strategy, budget):
    name = f"{strategy}-{budget}"
    write(f"data/plans/{name}.json", json.dumps({"budget": budget, "epochs": P["train"]["epochs"]}))
    write(f"data/curves/{name}/seed-0.tsv", "step\\tloss\\n1\\t2.0\\n2\\t1.0\\n")
    mean = P["train"]["quality"].get(strategy, 0.8)
    failed = P["train"]["failing"].get(name, [])
    by_seed = {s: mean + 0.01 * (i - 1) for i, s in enumerate(SEEDS) if s not in failed}
    write(f"metrics/cells/{name}.json", json.dumps({"values": {name: by_seed}}))


def estimate(values, factor):
    mean = sum(values) / len(values)
    half = 0.0248 * factor if len(values) > 2 else None
    ends = {"low": mean - half, "high": mean + half} if half else {"low": None, "high": None}
    return {"n": len(values), "mean": round(mean, 6), "sd": None, **ends}


def cell(name):
    values = json.loads(Path(f"metrics/cells/{name}.json").read_text())["values"][name].values()
    metrics = {m: estimate(list(values), i + 1) for i, m in enumerate(METRICS)} if values else {}
    failed = [{"seed": s, "error": "step 3: training | has become non-finite"}
              for s in P["train"]["failing"].get(name, [])]
    return {"n": len(values), "failed": failed, "metrics": metrics}


def gather():
    metric = P["train"]["metric"]
    names = [f"{s}-{b}" for b in P["study"]["budgets"] for s in P["study"]["strategies"]]
    cells = {name: cell(name) for name in names}
    means = {n: c["metrics"][metric]["mean"] for n, c in cells.items() if c["metrics"]}
    told = []
    for name in means:
        against = "uniform-" + name.rsplit("-", 1)[1]
        if name != against and against in means:
            gain = means[name] - means[against]
            verdict = "better" if gain > 0.05 else "not distinguishable"
            told.append({"task": "questions", "cell": name, "against": against,
                         "role": "reference", "metric": metric,
                         "difference": gain, "verdict": verdict,
                         "sentence": f"{name} is {verdict} than {against}: {gain:+.3f}."})
    write("metrics/headline.json", json.dumps({"questions": {metric: means}}))
    write("metrics/summary.json", json.dumps({
        "confidence": 0.95, "seeds": SEEDS, "verdict": "-",
        "tasks": {"questions": {"headline": metric, "better": "higher"}},
        "cells": {f"questions/{name}": cell for name, cell in cells.items()},
        "comparisons": told}))
    rows = [f"{n.rsplit('-', 1)[1]}\\t{mean}\\n" for n, mean in means.items()]
    write("metrics/frontier.tsv", "budget\\tmean\\n" + "".join(rows))


{"plan": plan, "gather": gather}[sys.argv[1]](*sys.argv[2:])
"""

PARAMS: dict[str, Any] = {
    "study": {"strategies": ["uniform", "disagreement"], "budgets": [4], "seeds": [0, 1, 2]},
    "train": {
        "epochs": 3,
        "metric": "accuracy",
        "quality": {"uniform": 0.8, "disagreement": 0.9},
        "failing": {},
    },
    "report": {"max_drop": 0.02},
}


@dataclass(frozen=True)
class Done:
    """What `python -m adarank.commands.pull_request` did: its exit code, report, and messages."""

    code: int
    report: str
    messages: str


@dataclass(frozen=True)
class Tiny:
    """The repository, at `path`."""

    path: Path

    def git(self, *arguments: str) -> str:
        """Run a Git command; its output."""
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        return _run(["git", *identity, *arguments], self.path)

    def change(self, **values: Any) -> None:
        """Set keys of params.yaml; `study__seeds=[1]` sets study.seeds."""
        path, yaml = self.path / "params.yaml", YAML(typ="safe")
        params = yaml.load(path)
        for keys, value in values.items():
            section, key = keys.split("__")
            params[section][key] = value
        yaml.dump(params, path)

    def repro(self, *arguments: str) -> None:
        """Run `dvc repro`."""
        _run([sys.executable, "-m", "dvc", "repro", "-q", *arguments], self.path)

    def commit(self, message: str) -> None:
        """Commit all there is."""
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def cloned(self, *options: str) -> "Tiny":
        """Clone it as a run on GitHub does: no data, no cache."""
        place = self.path.parent / f"{self.path.name}-clone"
        shutil.rmtree(place, ignore_errors=True)
        self.git("clone", "-q", *options, f"file://{self.path}", str(place))
        return Tiny(place)

    def report(self, base: str = "main", **environment: str) -> Done:
        """Report the working tree against a base."""
        command = [sys.executable, "-m", "adarank.commands.pull_request", "--base", base]
        done = subprocess.run(
            command,
            cwd=self.path,
            env=_environment() | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)


def make_tiny(folder: Path) -> Tiny:
    """Make the repository, its study run and committed on main, its branch `change` checked out."""
    folder.mkdir(parents=True)
    tiny = Tiny(folder)
    tiny.git("init", "-q", "-b", "main")
    _run([sys.executable, "-m", "dvc", "init", "-q"], folder)
    (folder / "tiny.py").write_text(CODE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / ".gitignore").write_text("/data/\n/pr-report/\n__pycache__/\n")
    YAML(typ="safe").dump(PARAMS, folder / "params.yaml")
    tiny.repro()
    tiny.commit("The study")
    tiny.git("checkout", "-q", "-b", "change")
    return tiny


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITHUB_"))}
    tools = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": tools, "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_NOSYSTEM": "1"}
