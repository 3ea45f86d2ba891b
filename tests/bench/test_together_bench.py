"""The benchmark of runs at once on a pico model: the same losses, whatever the speed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import together


def test_runs_at_once_have_the_losses_of_runs_alone(
    pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["--json", "--quick", "--model", str(pico_model), "--runs", "3"]
    result = CliRunner().invoke(together.app, command)
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    figures = json.loads(line)
    names = ["alone", "1 at once", "3 at once, one seed", "3 at once, own seeds"]
    assert list(figures["seconds"]) == list(figures["speedup"]) == names
    assert figures["loss_error"] <= 1e-5
    assert min(figures["seconds"].values()) > 0
