"""How far a unit is, written to the store and read there: stage, machine, percent."""

import json
import re
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from adarank.pipeline.scratch.shelf import NOW, Shelf

EVERY = 10.0
"""Seconds between two reports; a stage writes its progress as often."""

_BAR = re.compile(r"(\d+)%\|")


class Reporter:
    """Reports how far a step is.

    Args:
        shelf: The store's.
        unit: The unit's key.
        stage: The step's.
    """

    def __init__(self, shelf: Shelf, unit: str, stage: str):
        self._shelf, self._stage, self._name = shelf, stage, f"{NOW}/{unit}"

    def follow(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        """Wait for a process, and report what it says of its progress meanwhile."""
        while True:
            self._write(_percent(log))
            try:
                process.wait(EVERY)
                return
            except subprocess.TimeoutExpired:
                continue

    def _write(self, percent: str) -> None:
        now = {"stage": self._stage, "host": socket.gethostname(), "percent": percent}
        # Progress is worth no failure.
        with suppress(OSError), self._shelf.writing(self._name) as stream:
            stream.write(json.dumps(now | {"time": time.time()}).encode())


def read_progress(shelf: Shelf, unit: str) -> str:
    """Read how far a unit is, in words; empty where nothing is known."""
    try:
        with shelf.reading(f"{NOW}/{unit}") as stream:
            now = json.loads(stream.read())
        ago = time.time() - now["time"]
    except (OSError, ValueError, KeyError):
        return ""
    silent = f", silent for {ago:.0f} s" if ago > 6 * EVERY else ""
    return f"{now['stage']} on {now['host']} {now['percent']}{silent}".strip()


def clear_progress(shelf: Shelf, unit: str) -> None:
    """Remove a unit's progress."""
    shelf.remove(f"{NOW}/{unit}")


def _percent(log: Path) -> str:
    try:
        found = _BAR.findall(log.read_text(encoding="utf-8", errors="replace")[-2000:])
    except OSError:
        return ""
    return f"{found[-1]} %" if found else ""
