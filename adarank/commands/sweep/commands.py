"""DVC's commands as children that write to a log and end with whoever started them."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

LOGS = Path("timings/sweep")
"""Where what they print goes: below timings/, which no stage depends on."""

_PATIENCE = ((15, signal.SIGINT), (20, signal.SIGTERM), (40, signal.SIGKILL))
"""Until when, in seconds, what runs is asked to end by which signal."""


async def repro(arguments: Sequence[str], log: Path, variables: Mapping[str, str]) -> int:
    """Run `dvc repro`, waiting for whoever else holds DVC's lock; returns its exit code.

    Cancelled, it stops the command and all that it started before it ends itself.

    Args:
        arguments: Of `dvc repro`.
        log: Gets everything the command prints.
        variables: Added to its environment.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *arguments]
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=_environment(variables),
            # A group of its own: a Ctrl-C reaches the sweep alone, which then stops the group.
            start_new_session=True,
        )
    try:
        return await process.wait()
    except asyncio.CancelledError:
        await _stop(process)
        raise


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Interrupt what DVC runs, ever less politely, and let DVC itself come to its end.

    DVC sees a failed command then. Interrupted itself while it keeps its books, it would leave a
    torn .dvc/tmp/rwlock, which no later command can read.
    """
    asked: dict[int, signal.Signals] = {}
    began = time.monotonic()
    try:
        for seconds, number in _PATIENCE:
            while time.monotonic() < began + seconds:
                _ask(process.pid, number, asked)
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 0.2)
                    return
    finally:
        # Nothing is left then, unless patience ran out or a second Ctrl-C came.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _ask(parent: int, number: signal.Signals, asked: dict[int, signal.Signals]) -> None:
    """Send a signal to all that a process started, to each once."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(parent).children(recursive=True):
            if asked.get(child.pid) != number:
                asked[child.pid] = number
                child.send_signal(number)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    # The stages' `python` is the one that runs the sweep, whichever environment is active.
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": tools, "PYTHONUNBUFFERED": "1", **variables}
