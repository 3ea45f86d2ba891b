"""Kill a stage at random moments until so many kills are survived: `killing STAGE KILLS SEED ARGS`.

Imports the stage once, and forks a process for every run, so that a run is all work. Prints a JSON
line: kills, the runs that ended, what they wrote as hashes, and the lines that told of resuming.
"""

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from adarank.pipeline.files.whole import sha256

torch.set_num_threads(1)


PLACES = ("data/scores", "data/adapters", "data/curves", "metrics")
OWN = {"merge": ("data/merged",)}
"""Where a stage writes that reads what others wrote in the places above."""


def written(places: tuple[str, ...]) -> dict[str, str]:
    """Hash what stages write, but for what is told of time."""
    files = [path for place in places for path in Path(place).rglob("*") if path.is_file()]
    return {path.as_posix(): sha256(path) for path in sorted(files)}


def begin(app: object, arguments: list[str], log: Path) -> int:
    """Fork a run; gives its process id."""
    child = os.fork()
    if child:
        return child
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        app(arguments, standalone_mode=False)  # type: ignore[operator]
        os._exit(0)
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)


def clear(places: tuple[str, ...]) -> None:
    """Take away what stages wrote, and the scratch store."""
    for place in (*places, "timings"):
        shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(os.environ["ADARANK_SCRATCH"], ignore_errors=True)


def main(stage: str, kills: int, seed: int, arguments: list[str]) -> None:
    """Run once undisturbed, then again and again until killed so often."""
    app, log = importlib.import_module(f"stages.{stage}").app, Path("log.txt")
    places = OWN.get(stage, PLACES)
    began = time.perf_counter()
    assert os.waitstatus_to_exitcode(os.waitpid(begin(app, arguments, log), 0)[1]) == 0, (
        log.read_text()
    )
    length, whole = time.perf_counter() - began, written(places)
    moments, killed, ended = random.Random(seed), 0, []
    clear(places)
    while killed < kills or not ended:
        child = begin(app, arguments, log)
        if killed < kills:
            time.sleep(moments.uniform(0, length))
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL), log.read_text()
        killed += code != 0
        if code == 0:
            ended.append(written(places))
            clear(places)
    lines = log.read_text().splitlines()
    signs = ("taken from", "finished parts found in", "goes on after")
    resumed = [line for line in lines if any(sign in line for sign in signs)]
    told = {"kills": killed, "whole": whole, "ended": ended, "resumed": len(resumed)}
    damaged = sum("damaged" in line for line in lines)
    sys.stdout.write(json.dumps(told | {"damaged": damaged}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
