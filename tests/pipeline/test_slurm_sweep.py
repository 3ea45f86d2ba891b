"""A sweep through submitit, with its stand-in for SLURM: jobs as processes of this machine."""

from pathlib import Path

import pytest

from tests.pipeline.toy_cells import ToyCells
from tests.pipeline.toy_study import outcome

pytestmark = pytest.mark.pipeline


def test_cells_are_jobs_and_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: adarank[slurm]")
    toy = ToyCells(tmp_path / "toy", good="good", crash="crash", always="murder")
    code, said = toy.sweep("--where", "slurm", "--retries", "1", ADARANK_SLURM="local")
    assert code == 1, said
    assert toy.runs() == {"good": 1, "crash": 1, "always": 1}
    assert outcome(said, "good") == "finetune ran, evaluate ran"
    assert outcome(said, "crash") == "FAILED in finetune@crash"
    assert outcome(said, "always") == "FAILED in finetune@always: lost with its machine"
    assert "ValueError: no such weather" in said and "Traceback" not in said
    assert (toy.path / "cells-good").read_text() == "good good\n"


def test_a_scoring_is_a_job_and_where_it_fails_no_cell_is_sent(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: adarank[slurm]")
    toy = ToyCells(tmp_path / "toy", scores="noise", noise="crash", a="good", b="good")
    code, said = toy.sweep("--where", "slurm", "--shares", "1", ADARANK_SLURM="local")
    assert code == 1 and toy.runs() == {"noise": 1}, said
    assert outcome(said, "score@noise") == "FAILED in score@noise"
    assert outcome(said, "a") == outcome(said, "b") == "not run, it needs score@noise"
    assert "ValueError: no such weather" in said
    (toy.path / "orders/noise").write_text("good")
    code, said = toy.sweep("--where", "slurm", "--shares", "1", ADARANK_SLURM="local")
    assert code == 0 and toy.runs() == {"noise": 2, "a": 1, "b": 1}, said
    assert outcome(said, "score@noise") == "score ran" and toy.repro() == []


def test_a_machine_without_sbatch_or_a_share_of_a_gpu_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: adarank[slurm]")
    toy = ToyCells(tmp_path / "toy", a="good")
    code, said = toy.sweep("--where", "slurm", PATH=str(Path("/usr/bin")))
    assert code == 2 and "there is no sbatch on this machine" in said
    code, said = toy.sweep("--where", "slurm", "--gpus", "0.5", ADARANK_SLURM="local")
    assert code == 2 and "SLURM shares no GPU" in said and toy.runs() == {}
