"""In place of a stage's command: take what another machine made of it from the scratch store.

DVC runs it as the launcher: `RUN="python -m adarank.pipeline.clusters.fetch" dvc repro STAGE`. So
DVC hashes inputs and outputs, and keeps dvc.lock and its cache, as if the stage had run here.
"""

import os
import sys
from pathlib import Path

import typer

from adarank.errors import Problem, RunError, input_error
from adarank.pipeline.clusters.blobs import Blobs, open_blobs, unreadable_store
from adarank.pipeline.clusters.code import code_of
from adarank.pipeline.clusters.steps import (
    PARAMS,
    Step,
    hashes_below,
    read_params,
    step_from,
    values_of,
)
from adarank.pipeline.console.reporting import say, telling_errors
from adarank.pipeline.files.whole import read_json, write_json

STEP = "ADARANK_STEP"
"""Variable that names the step's file."""

NOT_MADE = "nobody has made it"
"""What the error says where the store has no result yet."""


class NotThereError(RunError):
    """Nobody has made it yet."""

    exit_code = 3


def fetch(step: Step, blobs: Blobs) -> None:
    """Write what a step makes to the current folder.

    Raises:
        InputError: Its inputs, parameters or code are no longer what was sent.
        NotThereError: Nobody has made it.
        RunError: The store cannot be read.
    """
    changed = _changed(step)
    if changed:
        raise input_error(
            "this changed while another machine worked with what it was",
            where=step.stage,
            got=", ".join(changed),
            remedy="run the same command again; nothing was written",
        )
    try:
        record = blobs.record(step.digest())
        if record is None:
            raise NotThereError(Problem(NOT_MADE, where=step.stage))
        for path, digest in record["files"].items():
            blobs.copy(digest, Path(path))
    except OSError as error:
        raise unreadable_store(blobs, error) from None
    for name, timing in record["timings"].items():
        write_json(Path("timings") / name, timing)
    hosts = {timing.get("host", "") for timing in record["timings"].values()} - {""}
    say(f"{step.stage}: taken from {blobs.shelf}" + "".join(f", made on {one}" for one in hosts))


def _changed(step: Step) -> list[str]:
    now = values_of(step.params, read_params())
    changed = [f"{PARAMS}: {key}" for key, value in step.params.items() if now[key] != value]
    found = hashes_below(tuple(p for p in step.inputs if Path(p).exists()))
    changed += [] if code_of(step.command) == step.code else ["the code"]
    changed += [path for path, digest in step.inputs.items() if found.get(path) != digest]
    return changed


def main() -> None:
    """Fetch the step that the environment names; the stage's command is among the arguments."""
    try:
        with telling_errors("fetch"):
            fetch(step_from(read_json(Path(os.environ[STEP]))), open_blobs())
    except typer.Exit as stop:
        sys.exit(stop.exit_code)


if __name__ == "__main__":
    main()
