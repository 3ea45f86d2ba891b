"""What every command does alike."""

import errno
import os
from pathlib import Path

import pytest
import typer

from adarank.errors import input_error, run_error
from stages.cli import reporting


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_times_go_to_a_side_file() -> None:
    with reporting("score-x"):
        pass
    assert Path("timings/score-x.json").exists()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (input_error("no such kind", where="score.modules"), 2),
        (run_error("not finite", where="step 3"), 1),
        (OSError(errno.ENOSPC, "no space", "data/x"), 1),
    ],
)
def test_known_errors_are_told_with_their_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as exit_, reporting("stage"):
        raise error
    assert exit_.value.exit_code == code
    told = capsys.readouterr().err
    assert "stage: " in told and "Traceback" not in told
    assert not Path("timings").exists()


def test_another_error_is_a_fault_of_ours_and_keeps_its_traceback() -> None:
    with pytest.raises(PermissionError), reporting("stage"):
        raise PermissionError(errno.EACCES, "not allowed")


def test_of_several_processes_only_the_first_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(typer.Exit) as exit_, reporting("finetune-x"):
        pytest.fail("the second process worked")
    assert exit_.value.exit_code == 0
    monkeypatch.setenv("RANK", "0")
    with reporting("finetune-x"):
        assert "WORLD_SIZE" not in os.environ


def test_a_stage_that_shares_its_work_runs_in_every_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with reporting("score-x", shared=True):
        assert os.environ["WORLD_SIZE"] == "2"
