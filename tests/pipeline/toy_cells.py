"""A study of cells that need no torch, for sweeps on clusters: each does what its order says.

Each run of a cell is recorded, wherever it runs. Orders: good, sleepSECONDS, crash, unpicklable (an
error), murder (kills the cluster's worker that runs it) and murder-once (the first time alone).
"""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.pipeline.closure import ROOT

SCORING = """
  score:
    foreach: [{name}]
    do:
      cmd: $RUN python work.py {record} ${{item}}
      deps: [work.py, "orders/${{item}}"]
      outs: ["adapters/${{item}}"]
"""

STAGES = """
stages:
  finetune:
    foreach: [{cells}]
    do:
      cmd: $RUN python work.py {record} ${{item}}
      deps: [work.py, "orders/${{item}}"{needs}]
      outs: ["adapters/${{item}}"]
  evaluate:
    foreach: [{cells}]
    do:
      cmd: $RUN cp adapters/${{item}}/made cells-${{item}}
      deps: ["adapters/${{item}}"]
      outs: ["cells-${{item}}"]
  summarize:
    cmd: cat {files} > summary.txt
    deps: [{files_}]
    outs: [summary.txt]
"""

WORK = """
import os, pathlib, signal, sys, threading, time
import psutil
record, cell = pathlib.Path(sys.argv[1]), sys.argv[2]
order = pathlib.Path(f"orders/{cell}").read_text()
before = record.read_text().split() if record.exists() else []
with record.open("a") as stream:
    stream.write(f"{cell}:{os.getpid()} ")
first = not any(one.startswith(f"{cell}:") for one in before)

class Held(Exception):
    def __init__(self):
        self.lock = threading.Lock()
        super().__init__("this error holds a lock")

if order == "crash":
    raise ValueError("no such weather")
if order == "unpicklable":
    raise Held
if order == "murder" or order == "murder-once" and first:
    psutil.Process().parent().parent().kill()
    time.sleep(60)
if order.startswith("sleep"):
    time.sleep(float(order[5:]))
made = pathlib.Path(f"adapters/{cell}/made")
made.parent.mkdir(parents=True, exist_ok=True)
made.write_text(f"{cell} {order}\\n")
"""


class ToyCells:
    """A toy study in a folder, with a scratch store beside it.

    Args:
        path: The folder.
        scores: The name of a scoring stage that all cells need; orders hold what it is to do.
        orders: What each cell is to do, by its name.
    """

    def __init__(self, path: Path, scores: str = "", **orders: str):
        self.path, self.record = path, path.parent / f"{path.name}-record"
        self.store = path.parent / f"{path.name}-store"
        (path / "orders").mkdir(parents=True)
        cells = [name for name in orders if name != scores]
        files = [f"cells-{cell}" for cell in cells]
        (path / "dvc.yaml").write_text(
            STAGES.format(
                cells=", ".join(cells),
                record=self.record,
                files=" ".join(files),
                files_=", ".join(files),
                needs=f", adapters/{scores}" if scores else "",
            )
            + (SCORING.format(name=scores, record=self.record) if scores else "")
        )
        (path / "work.py").write_text(WORK)
        for cell, order in orders.items():
            (path / "orders" / cell).write_text(order)
        command = [sys.executable, "-m", "dvc", "init", "-q", "--no-scm"]
        subprocess.run(command, cwd=path, check=True)

    def runs(self) -> Counter[str]:
        """Count the runs of each cell."""
        return Counter(cell for cell, _ in self.processes())

    def processes(self) -> list[tuple[str, int]]:
        """List the runs: cell and process id."""
        said = self.record.read_text() if self.record.exists() else ""
        return [(c, int(pid)) for c, _, pid in (one.partition(":") for one in said.split())]

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a sweep."""
        added = {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "ADARANK_SCRATCH": str(self.store)}
        return subprocess.Popen(
            [sys.executable, "-m", "adarank.commands.sweep", *arguments],
            cwd=self.path,
            env={**os.environ, **added, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def sweep(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run a sweep: its exit code and what it said."""
        process = self.start(*arguments, **environment)
        said = process.communicate(timeout=300)[1]
        return process.returncode, said

    def repro(self) -> list[str]:
        """Run `dvc repro`; the stages that ran."""
        command = [sys.executable, "-m", "dvc", "repro"]
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True, check=True)
        return re.findall(r"^Running stage '([^']+)'", done.stdout, re.MULTILINE)
