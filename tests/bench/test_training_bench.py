"""The training benchmark on a pico model: the same losses, whatever the speed."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bench import training
from bench.training_cost import fitted
from bench.training_runs import Effort

KEYS = [
    "speedup",
    "loss_error",
    "steps_per_second",
    "rows_per_second",
    "plain_steps_per_second",
    "plain_rows_per_second",
    "own_order_speedup",
    "against_uniform",
    "prefix_seconds",
    "prefix",
    "last_row",
]


def test_both_trainers_have_the_same_losses_with_every_shortcut(
    pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "QUICK", Effort(steps=3, rounds=1))
    monkeypatch.chdir(tmp_path)
    command = ["--json", "--quick", "--model", str(pico_model), "--plan", "last_1_blocks"]
    result = CliRunner().invoke(training.app, command)
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    figures = json.loads(line)
    assert list(figures) == KEYS
    assert figures["prefix"] is True and figures["last_row"] is True
    assert figures["loss_error"] <= 1e-5
    assert all(math.isfinite(figures[key]) and figures[key] > 0 for key in KEYS[2:])
    assert "plain, own order" in result.stderr


def test_two_constants_of_the_machine_are_found_again() -> None:
    table = pd.DataFrame({"gflop": [1.0, 2.0, 4.0], "kept_mib": 2.0, "kept_predicted": 2.2})
    found = fitted(table.assign(seconds=0.01 + 0.02 * table["gflop"]))
    assert np.allclose(found["error"], 0) and np.allclose(found["kept_error"], 0.1)
