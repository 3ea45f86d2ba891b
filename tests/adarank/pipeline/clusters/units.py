"""A unit of two small steps, and machines that are folders of this one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from adarank.pipeline.clusters.base import Order
from adarank.pipeline.clusters.blobs import Blobs
from adarank.pipeline.clusters.bootstrap import run_module
from adarank.pipeline.clusters.code import code_of, packed_code
from adarank.pipeline.clusters.steps import Step, Unit
from adarank.pipeline.clusters.versions import versions_here
from adarank.pipeline.files.hashes import sha256

PARAMS = "tasks:\n  a:\n    steps: 3\n"
WORK = """
import pathlib, sys
rows = pathlib.Path("rows").read_text()
made = pathlib.Path("made/out.txt")
made.parent.mkdir()
made.write_text(rows * 2)
pathlib.Path("{record}").open("a").write("x")
"""


def make_unit(folder: Path, blobs: Blobs, order: str = "") -> Unit:
    """Write inputs below a folder and to the store, and make a unit that reads them."""
    work = WORK.format(record=folder / "record") + order
    for name, text in (("rows", "1 2 3\n"), ("work.py", work)):
        (folder / name).write_text(text)
        blobs.put(folder / name, sha256(folder / name))
    inputs = {name: sha256(folder / name) for name in ("rows", "work.py")}
    command = "python work.py"
    first = Step(
        "make@a", command, {"tasks.a": {"steps": 3}}, code_of(command), inputs, (), ("made",), {}
    )
    second = replace(
        first,
        stage="copy@a",
        command="cp made/out.txt copied",
        inputs={},
        needs=("made",),
        outs=("copied",),
    )
    return Unit("a", (first, second), PARAMS, versions_here())


def times_run(folder: Path) -> int:
    """Count how often the first step has run."""
    record = folder / "record"
    return len(record.read_text()) if record.exists() else 0


def make_order(blobs: Blobs, text: str, module: str = "worker") -> Order:
    """Put the project's code into the store, and make an order of it."""
    data, digest = packed_code()
    path = Path("code.zip").absolute()
    path.write_bytes(data)
    blobs.put(path, digest)
    environment = {"ADARANK_SCRATCH": str(blobs.shelf)}
    name = f"adarank.pipeline.clusters.{module}"
    return Order(str(blobs.shelf), digest, name, text, environment)


def run_order(order: Order) -> dict[str, Any]:
    """Run an order as a cluster's worker does."""
    return json.loads(run_module(**vars(order)))
