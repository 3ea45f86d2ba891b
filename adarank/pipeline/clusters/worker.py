"""Run a unit in a folder that holds the project's code alone: `python -m ...clusters.worker`.

Inputs come from the store by their hashes, and results go there, each step's record last. The unit
is read from `order.json`; what came of it is printed as JSON.
"""

import ctypes
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adarank.pipeline.clusters.blobs import Blobs, files_below, open_blobs, put_files
from adarank.pipeline.clusters.progress import Reporter
from adarank.pipeline.clusters.steps import PARAMS, Step, Unit, unit_from
from adarank.pipeline.clusters.versions import differences, versions_here

_LONGEST_LOG = 200_000
_TIMINGS = Path("timings")
_C = ctypes.CDLL(None)  # loaded here, not between fork and exec


@dataclass
class Report:
    """What came of a unit.

    Attributes:
        host: The machine's name.
        happened: To each step that ended well: `ran`, or `found` in the store.
        failed: The stage that failed by itself.
        code: Its exit code; negative for the signal that ended it.
        refused: Why this machine cannot run the unit.
        log: What the stages printed.
    """

    host: str = field(default_factory=socket.gethostname)
    happened: dict[str, str] = field(default_factory=dict[str, str])
    failed: str = ""
    code: int = 0
    refused: list[str] = field(default_factory=list[str])
    log: str = ""


def run_unit(unit: Unit, blobs: Blobs) -> Report:
    """Run the steps of a unit in the current folder, until one fails."""
    report = Report()
    report.refused = differences(unit.versions, versions_here())
    if report.refused:
        return report
    Path(PARAMS).write_text(unit.params, encoding="utf-8")
    for step in unit.steps:
        if not _found(step, blobs, report):
            _place_inputs(step, blobs)
            report.code = _run(step, Reporter(blobs.shelf, unit.key, step.stage), report)
            if report.code:
                report.failed = step.stage
                break
            _store(step, blobs)
            report.happened[step.stage] = "ran"
    return report


def _found(step: Step, blobs: Blobs, report: Report) -> bool:
    """Take the results of a step that somebody has run already."""
    record = blobs.record(step.digest())
    if record is None:
        return False
    for path, digest in record["files"].items():
        _link(Path(path), blobs.fetched(digest))
    report.happened[step.stage] = "found"
    return True


def _place_inputs(step: Step, blobs: Blobs) -> None:
    for path, digest in step.inputs.items():
        _link(Path(path), blobs.fetched(digest))


def _link(path: Path, to: Path) -> None:
    # A link costs nothing, however large the model; what it leads to is read-only.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(to)


def _run(step: Step, reporter: Reporter, report: Report) -> int:
    """Run a step's command; its exit code."""
    log = Path("stage.log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            shlex.split(step.command),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=_environment(),
            preexec_fn=die_with_parent,
        )
        reporter.follow(process, log)
    said = log.read_text(encoding="utf-8", errors="replace")[-_LONGEST_LOG:]
    report.log += f"Running stage '{step.stage}':\n{said}"
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        report.log += f"\nended by {name}, as when a machine's memory is full\n"
    return process.returncode


def _store(step: Step, blobs: Blobs) -> None:
    """Store what a step made, its record last."""
    files = [file for out in step.outs for file in files_below(Path(out))]
    digest = step.digest()
    stored = put_files(blobs, files)
    timings = {path.name: json.loads(path.read_text()) for path in files_below(_TIMINGS)}
    record: dict[str, Any] = {"stage": step.stage, "files": stored, "timings": timings}
    blobs.put_record(digest, record)
    for path in files_below(_TIMINGS):
        path.unlink()


def _environment() -> dict[str, str]:
    # The stages' `python` is the one that runs this.
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**plain, "PATH": tools, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}


def die_with_parent() -> None:
    """Have the system kill this process when its parent dies, however that dies (Linux)."""
    if sys.platform == "linux":
        _C.prctl(1, signal.SIGKILL)


def main() -> None:
    """Run the unit of the current folder."""
    die_with_parent()
    # Its stage is asked to end by the same signal, and is waited for: it keeps what it finished.
    signal.signal(signal.SIGTERM, lambda *_: None)
    blobs = open_blobs()
    unit = unit_from(Path("order.json").read_text(encoding="utf-8"))
    try:
        said = vars(run_unit(unit, blobs))
    except OSError as error:
        said = {"broken": f"{blobs.shelf}: {error}", "host": socket.gethostname()}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
