"""What every command does alike."""

import errno
import os
from pathlib import Path

import pytest
import typer

from adarank.errors import InputError, input_error, run_error, within
from adarank.pipeline.console.reporting import reporting


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


@pytest.mark.parametrize("fault", [KeyError("x"), ValueError("x"), FileNotFoundError(2, "x", "y")])
def test_a_fault_of_ours_is_never_told_as_bad_input(fault: Exception) -> None:
    with pytest.raises(type(fault)), reporting("stage"):
        raise fault


def test_a_place_that_cannot_be_used_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").write_text("a file")
    with pytest.raises(typer.Exit) as exit_, reporting("stage"):
        Path("data/model").mkdir()
    assert exit_.value.exit_code == 2
    told = capsys.readouterr().err
    assert "data/model: this place cannot be used" in told and "Not a directory" in told


def test_an_error_names_the_file_that_it_is_in() -> None:
    with pytest.raises(InputError) as told, within("plan.json"), within("plan"):
        raise input_error("no such rank", where="modules.0", got=-1)
    assert str(told.value).startswith("plan.json: plan: modules.0: no such rank")


def test_what_is_quoted_of_a_damaged_file_does_nothing_to_a_terminal() -> None:
    told = str(input_error("odd", got="\x1b[2J\ud800\0 café"))
    assert told == "odd\n  got:      \\x1b[2J\\ud800\\x00 café"


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
