"""Two `dvc repro` at once in one folder: the second says who is at work; the results are right."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.tiny import make_tiny

pytestmark = [pytest.mark.pipeline, pytest.mark.crash]


def test_the_second_says_who_is_at_work_and_harms_nothing(tmp_path: Path) -> None:
    alone, shared = make_tiny(tmp_path / "alone"), make_tiny(tmp_path / "shared")
    for tiny in (alone, shared):
        tiny.change(train__epochs=5)
    alone.repro()
    command = [sys.executable, "-m", "dvc", "repro"]
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    slow = os.environ | {"PATH": tools, "TINY_SECONDS": "5"}
    log = tmp_path / "first.log"
    with log.open("w") as stream:
        first = subprocess.Popen(command, cwd=shared.path, env=slow, stdout=stream)
        try:
            while first.poll() is None and "Running stage" not in log.read_text():
                time.sleep(0.1)
            second = subprocess.run(
                command, cwd=shared.path, env=slow, capture_output=True, text=True, check=False
            )
            assert first.wait(timeout=120) == 0
        finally:
            first.kill()
    assert second.returncode != 0 and "Running stage" not in second.stdout
    assert "is busy" in second.stderr and f"(PID {first.pid})" in second.stderr
    assert (shared.path / "dvc.lock").read_bytes() == (alone.path / "dvc.lock").read_bytes()
    assert "didn't change, skipping" in _output(command, shared.path)
    assert (shared.path / "metrics/summary.json").read_bytes() == (
        alone.path / "metrics/summary.json"
    ).read_bytes()


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert "Running stage" not in done.stdout
    return done.stdout
