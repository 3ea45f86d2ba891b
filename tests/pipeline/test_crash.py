"""Stages that are killed, or asked to stop, go on where they were and end with the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.cells import write_params, write_project
from tests.merged_study import change_params, write_study
from tests.pico import WORDS
from tests.pipeline.closure import ROOT
from tests.stages.test_score import PARAMS

pytestmark = [pytest.mark.pipeline, pytest.mark.crash]

KILLS = int(os.environ.get("ADARANK_TEST_KILLS", "20"))
CELL = ["--task", "questions", "--strategy", "explicit", "--budget", "2"]


def environment(folder: Path) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "ADARANK_SCRATCH": str(folder / "scratch")}
    return os.environ | own | {"ADARANK_SCRATCH_SECONDS": "0", "OMP_NUM_THREADS": "1"}


def killed(stage: str, folder: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.killing", stage, str(KILLS), "7", *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def write_score_project(model: Path) -> None:
    shutil.copytree(model, "data/model")
    lines = [" ".join(WORDS[row : row + 3 + row % 4]) for row in range(8)]
    Path("probe.txt").write_text("\n".join(lines))
    score = PARAMS["score"] | {"modules": ["all-linear"], "trials": 20}
    with Path("params.yaml").open("w") as stream:
        YAML().dump(json.loads(json.dumps(PARAMS | {"score": score})), stream)


def test_scoring_survives_kills_at_any_moment(
    pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_score_project(pico_model)
    report = killed("score", tmp_path)
    assert report["kills"] == KILLS and report["damaged"] == 0
    assert len(report["whole"]) == 2
    assert all(ended == report["whole"] for ended in report["ended"])
    assert report["resumed"] > 0


def test_fine_tuning_survives_kills_at_any_moment(
    pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(pico_model)
    write_params(learning_rate=[1e-2, 2e-2], steps=20)
    report = killed("finetune", tmp_path, *CELL)
    assert report["kills"] == KILLS and report["damaged"] == 0
    # The rates; by seed an adapter of three files and a curve; the curves together.
    assert len(report["whole"]) == 1 + 2 * 4 + 1
    assert all(ended == report["whole"] for ended in report["ended"])
    assert report["resumed"] > 0


def test_learning_masks_survives_kills_at_any_moment(
    pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(pico_model)
    change_params(merges=("masks",), steps=30)
    report = killed("merge", tmp_path, "--method", "masks")
    assert report["kills"] == KILLS and report["damaged"] == 0
    # By seed: an adapter of two files, two heads, the record, masks and lambdas.
    assert len(report["whole"]) == 2 * (2 + 2 + 2)
    assert all(ended == report["whole"] for ended in report["ended"])
    assert report["resumed"] > 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_stage_at_once_and_says_what_to_type(
    number: signal.Signals,
    code: int,
    pico_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(pico_model)
    write_params(steps=100_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.finetune", *CELL],
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("finetune questions/explicit-2: lora"):
            break
    time.sleep(1)
    process.send_signal(number)
    began = time.monotonic()
    said = process.communicate(timeout=60)[1]
    assert time.monotonic() - began < 20
    assert process.returncode == code
    assert f"stopped by {number.name}; what was finished is kept in {tmp_path}/scratch" in said
    assert "the same command goes on from there" in said and "Traceback" not in said
    assert not any(path.is_file() for path in Path("data/adapters").rglob("*"))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="sees by /proc what is imported")
def test_a_ctrl_c_during_imports_ends_without_a_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.finetune", *CELL],
        cwd=tmp_path,
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    )
    while "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == -signal.SIGINT
