"""What a cluster costs and changes: overhead per unit, a sweep's wall time, and its bytes.

Everything runs on this machine, whose cores are all that there is: a Ray cluster of two nodes with
a core each, against two local processes. So a sweep gains nothing by it here, and the difference is
what the way through a cluster costs. `--kill` kills a node once half of the steps are done.

Run: python -m bench.clusters for the overhead alone; with a study's sweep, python -m bench.clusters
--project PROJECT [--kill], PROJECT a study whose plans are made and whose cells are not.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Annotated

import psutil
import typer
from ruamel.yaml import YAML

from bench.two_nodes import TwoNodes, two_nodes
from bench.unit_cost import Costs
from tests.cells import write_project
from tests.pico import save_pico_model

Meanwhile = Callable[[Path, "subprocess.Popen[bytes]"], None]
"""What is done while a sweep runs, given its store and its process."""

_MADE = ("data", "metrics", "report")

app = typer.Typer(add_completion=False)


@app.command()
def main(
    project: Annotated[
        Path | None, typer.Option(help="A study with plans and without cells, to sweep.")
    ] = None,
    kill: Annotated[bool, typer.Option("--kill", help="Also kill a node half way.")] = False,
    units: Annotated[int, typer.Option(min=2, help="Units of each kind for the overhead.")] = 10,
) -> None:
    """Measure, and print a line a figure; exit code 1 if any bytes differ."""
    equal = True
    with tempfile.TemporaryDirectory() as name, two_nodes() as nodes:
        folder = Path(name)
        if project is not None:
            equal = _compared(project, folder, nodes, kill=kill)
        os.environ["RAY_ADDRESS"] = nodes.address
        (folder / "pico").mkdir()
        with chdir(folder / "pico"):
            save_pico_model(folder / "model")
            write_project(folder / "model")
        costs = Costs(folder / "units", folder / "pico")
        asyncio.run(_overhead(costs, units, psutil.Process(nodes.process.pid)))
    raise typer.Exit(0 if equal else 1)


def _compared(project: Path, folder: Path, nodes: TwoNodes, *, kill: bool) -> bool:
    """Sweep a study here and on the cluster; whether the bytes are equal."""
    meanwhile = _killer(folder / "0", nodes) if kill else _nothing
    asked = [("local", ["--jobs", "2"], _nothing), ("ray", ["--where", "ray"], meanwhile)]
    made: dict[str, str] = {}
    for number, (what, arguments, beside) in enumerate(asked):
        copy = shutil.copytree(project, folder / str(number), symlinks=True)
        store = folder / f"store-{number}"
        seconds = _swept(copy, arguments, nodes.address, store, beside)
        made[what] = _bytes_of(copy)
        ran = _repro(copy)
        typer.echo(f"sweep, {what}: {seconds:.0f} s; dvc repro then runs {ran} stages")
    typer.echo(f"bytes: {'equal' if len(set(made.values())) == 1 else 'DIFFERENT'}")
    if kill:
        nodes.add_node()
    return len(set(made.values())) == 1


async def _overhead(costs: Costs, units: int, nodes: psutil.Process) -> None:
    async for what, cost in costs.measure(units, nodes):
        load, cores = os.getloadavg()[0], os.cpu_count()
        typer.echo(f"{what}: {cost} ({cores} cores, load average {load:.1f})")


def _swept(
    project: Path,
    arguments: list[str],
    address: str,
    store: Path,
    meanwhile: Meanwhile,
) -> float:
    """Run a sweep; its seconds by the clock."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "adarank.commands.sweep", *arguments],
        cwd=project,
        env={**os.environ, "RAY_ADDRESS": address, "ADARANK_SCRATCH": str(store)},
    )
    meanwhile(store, process)
    if process.wait():
        raise typer.Exit(1)
    return time.monotonic() - began


def _nothing(store: Path, process: "subprocess.Popen[bytes]") -> None:
    del store, process


def _killer(local: Path, nodes: TwoNodes) -> Meanwhile:
    """Make what kills a node once half of the steps are done that the local sweep took."""

    def kill(store: Path, process: "subprocess.Popen[bytes]") -> None:
        # A cell has two steps.
        half = len(list(local.glob("data/adapters/*/*")))
        while process.poll() is None and len(list(store.glob("steps/*"))) < half:
            time.sleep(0.2)
        nodes.kill_node()
        typer.echo("a node was killed")

    return kill


def _repro(project: Path) -> int:
    command = [sys.executable, "-m", "dvc", "repro"]
    environment = {**os.environ, "ADARANK_SCRATCH": "off"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.count("Running stage")


def _bytes_of(project: Path) -> str:
    """Hash all that a study makes, and dvc.lock, whose stages stand as they happened to end."""
    files = [file for name in _MADE for file in (project / name).rglob("*") if file.is_file()]
    lock = YAML(typ="safe").load((project / "dvc.lock").read_text(encoding="utf-8"))
    digest = hashlib.sha256(json.dumps(lock, sort_keys=True).encode())
    for file in sorted(files):
        digest.update(f"{file.relative_to(project)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    app()
