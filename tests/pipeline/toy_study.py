"""A study whose stages are one-line scripts, for what needs DVC but nothing that is learned.

Each cell does what its file in orders/ says: good, refuse (an error as stages tell theirs), crash
(a traceback), sleep (until killed).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.pipeline.closure import ROOT

PIPELINE = """
stages:
  download:
    cmd: echo rows > data.txt
    outs: ["data.txt"]
  allocate:
    foreach: ["a-1", "b-1"]
    do:
      cmd: python work.py plan ${item}
      deps: ["data.txt", "orders/plan-${item}"]
      outs: ["plans/${item}"]
  finetune:
    foreach: ["a-1", "b-1"]
    do:
      cmd: python work.py adapter ${item}
      deps: ["plans/${item}", "orders/adapter-${item}"]
      outs: ["adapters/${item}"]
  evaluate:
    foreach: ["a-1", "b-1"]
    do:
      cmd: cp adapters/${item} cells/${item}
      deps: ["adapters/${item}"]
      outs: ["cells/${item}"]
  summarize:
    cmd: cat cells/* > summary.txt
    deps: ["cells"]
    outs: ["summary.txt"]
  report:
    cmd: cp summary.txt report.txt
    deps: ["summary.txt"]
    outs: ["report.txt"]
"""

WORK = """
import os, pathlib, sys, time
what, cell = sys.argv[1:]
order = pathlib.Path(f"orders/{what}-{cell}").read_text().strip()
with open("began", "a") as began:
    began.write(f"{what}-{cell} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\\n")
if order == "refuse":
    sys.exit(f"{what}-{cell}: cannot go on\\nstudy.budgets: too small\\n  remedy:   a larger one")
if order == "crash":
    raise ValueError("no such weather")
if order == "sleep":
    time.sleep(300)
target = pathlib.Path(f"{what}s/{cell}")
target.parent.mkdir(exist_ok=True)
target.write_text(f"{cell} {order}")
"""

CELLS = ("a-1", "b-1")


class ToyStudy:
    """A toy study in a folder."""

    def __init__(self, path: Path):
        self.path = path
        for folder in ("orders", "cells", "plans", "adapters"):
            (path / folder).mkdir(parents=True)
        (path / "dvc.yaml").write_text(PIPELINE)
        (path / "work.py").write_text(WORK)
        subprocess.run(
            [sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=path, check=True
        )
        self.order(**{f"{what}-{cell}": "good" for what in ("plan", "adapter") for cell in CELLS})

    def order(self, **orders: str) -> None:
        """Say what cells are to do."""
        for name, order in orders.items():
            (self.path / "orders" / name).write_text(order)

    def began(self) -> list[list[str]]:
        """List the scripts begun since the last call: what, process id, threads."""
        record = self.path / "began"
        lines = record.read_text().splitlines() if record.exists() else []
        record.unlink(missing_ok=True)
        return [line.split() for line in lines]

    def start(self, jobs: int = 2, **environment: str) -> "subprocess.Popen[str]":
        """Start a sweep of the project's own code."""
        plain = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        return subprocess.Popen(
            [sys.executable, "-m", "adarank.commands.sweep", "--jobs", str(jobs)],
            cwd=self.path,
            env={**plain, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def sweep(self, jobs: int = 2, **environment: str) -> tuple[int, str]:
        """Run a sweep: its exit code and what it said."""
        process = self.start(jobs, **environment)
        said = process.communicate(timeout=120)[1]
        return process.returncode, said


def outcome(said: str, name: str) -> str:
    """Read a line of the closing table."""
    (found,) = re.findall(rf"^ +{re.escape(name)} +(\S.*?) +[\d-]+ *$", said, re.MULTILINE)
    return found
