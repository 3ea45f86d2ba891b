"""The finetune stage in parts: each leaves its runs in the store, and the whole cell finds them."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adarank.pipeline.running import one_run
from stages.finetune import app
from tests.cells import files, write_params, write_project
from tests.stages.test_finetune import CELL, finetune

PARTS = ("rate:0:1", "rate:1:3", "rate:3:4", "seed:0:1", "seed:1:2")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADARANK_SCRATCH", str(tmp_path / "scratch"))
    write_project(pico_model)
    # The second rate diverges: a part stores that too.
    write_params(learning_rate=[2e-2, 1e30], tuning_seed=[98, 99])


def part(which: str) -> Result:
    return CliRunner().invoke(app, [*CELL, "--only", which])


def whole(monkeypatch: pytest.MonkeyPatch, *, trains: bool) -> dict[str, bytes]:
    """Run the whole cell; what it made."""
    shutil.rmtree("data/adapters", ignore_errors=True)
    shutil.rmtree("data/curves", ignore_errors=True)
    with monkeypatch.context() as patch:
        if not trains:
            patch.delattr(one_run, "train")
        result = finetune()
    assert result.exit_code == 0, result.output
    return files("data/adapters") | files("data/curves")


@pytest.mark.parametrize("together", [1, 2])
def test_the_whole_cell_trains_nothing_after_its_parts(
    monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    changed = {"together": together, "dropout": 0.0, "base_dropout": False}
    write_params(learning_rate=[2e-2, 1e-2], tuning_seed=[98, 99], **changed)
    expected = whole(monkeypatch, trains=True)
    shutil.rmtree("scratch")
    every = PARTS if together == 1 else ("rate:0:2", "rate:2:4", "seed:0:2")
    for which in every:
        result = part(which)
        assert result.exit_code == 0, result.output
        assert not Path("data/curves").exists() or not files("data/curves").keys() - expected
    monkeypatch.setattr("adarank.pipeline.running.group.train_together", None)
    assert whole(monkeypatch, trains=False) == expected


def test_a_diverged_run_is_no_failure_of_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole(monkeypatch, trains=True)
    shutil.rmtree("scratch")
    assert [part(which).exit_code for which in PARTS] == [0] * len(PARTS)
    assert b"1e+30" in expected["data/adapters/questions/explicit-2/learning_rates.json"]
    assert whole(monkeypatch, trains=False) == expected


def test_a_part_whose_runs_are_stored_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert part("rate:0:2").exit_code == 0
    monkeypatch.delattr(one_run, "train")
    assert part("rate:0:2").exit_code == 0
    assert not Path("data/adapters").exists()
    failed = part("rate:1:3")
    assert isinstance(failed.exception, NameError)


def test_an_error_names_the_seed_and_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(one_run, "train")
    failed = part("rate:1:2")
    assert failed.exception is not None
    label = "in finetune questions/explicit-2, seed 99, learning rate 0.02"
    assert failed.exception.__notes__ == [label]


def test_no_part_and_no_store_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = part("seed:0")
    assert refused.exit_code == 2 and "no such part of a cell" in refused.stderr
    monkeypatch.setenv("ADARANK_SCRATCH", "off")
    refused = part("seed:0:1")
    assert refused.exit_code == 2 and "parts need the scratch store" in refused.stderr
