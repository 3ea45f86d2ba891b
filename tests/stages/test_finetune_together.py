"""The finetune stage with several runs at once: the same artifacts, keys of their own, resumed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import Result

from adarank.tuning.together.training import _Training  # pyright: ignore[reportPrivateUsage]
from tests.cells import files, write_params, write_project
from tests.stages.test_finetune import finetune

ADAPTERS = Path("data/adapters/questions/explicit-2")
CURVES = Path("data/curves/questions/explicit-2")


@pytest.fixture(autouse=True)
def project(
    tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADARANK_SCRATCH", str(tmp_path / "scratch"))
    write_project(pico_model)
    yield monkeypatch


def trained(*, fresh: bool = False, **changed: Any) -> Result:
    """Run the stage, the dropouts off; `fresh` forgets the scratch store."""
    if fresh:
        shutil.rmtree("scratch", ignore_errors=True)
    shutil.rmtree("data/adapters", ignore_errors=True)
    write_params(**{"dropout": 0.0, "base_dropout": False} | changed)
    result = finetune()
    assert result.exit_code == 0, result.output
    return result


def adapter_of(seed: int) -> dict[str, torch.Tensor]:
    return load_file(ADAPTERS / f"seed-{seed}/adapter_model.safetensors")


def results() -> dict[str, bytes]:
    return files("data/adapters") | files("data/curves")


def test_the_artifacts_are_those_of_runs_alone():
    trained()
    alone = results()
    weights = {seed: adapter_of(seed) for seed in (0, 1)}
    curves = {seed: pd.read_csv(CURVES / f"seed-{seed}.tsv", sep="\t") for seed in (0, 1)}
    said = trained(together=2).stderr
    assert "taken from" not in said and "10 ranks read back" in said
    assert results().keys() == alone.keys()
    for seed in (0, 1):
        got = adapter_of(seed)
        assert got.keys() == weights[seed].keys()
        for name, tensor in got.items():
            torch.testing.assert_close(tensor, weights[seed][name], rtol=1e-4, atol=2e-5)
        curve = pd.read_csv(CURVES / f"seed-{seed}.tsv", sep="\t")
        pd.testing.assert_frame_equal(curve, curves[seed], rtol=1e-5, atol=1e-6)
        for name in ("trained.json", "adapter_config.json"):
            path = str(ADAPTERS / f"seed-{seed}" / name)
            assert Path(path).read_bytes() == alone[path]


def test_the_same_again_is_the_same_bytes_and_comes_from_the_store():
    trained(together=2)
    first = results()
    assert "seeds 0, 1 taken from the scratch store" in trained(together=2).stderr
    assert results() == first
    assert "taken from" not in trained(together=2, fresh=True).stderr
    assert results() == first
    # An entry of the two that is damaged: both are trained again.
    entry = next(path for path in sorted(Path("scratch/seed").iterdir()))
    entry.write_bytes(entry.read_bytes()[:-1] + b"x")
    assert "is damaged" in trained(together=2).stderr
    assert results() == first


def test_without_a_store_it_works_as_well(project: pytest.MonkeyPatch):
    trained(together=2)
    first = results()
    project.setenv("ADARANK_SCRATCH", "off")
    assert "taken from" not in trained(together=2).stderr
    assert results() == first


def test_the_one_that_is_left_over_is_a_run_alone():
    trained(seeds=(2,))
    said = trained(seeds=(0, 1, 2), together=2).stderr
    assert "seeds 2 taken from the scratch store" in said
    # Alone, 0 and 1 are other runs: their sums have another order.
    assert "seeds 2 taken from the scratch store" in trained(seeds=(0, 1, 2)).stderr


def test_where_dropout_is_active_they_are_trained_one_by_one_and_it_is_said_once():
    trained(dropout=0.1)
    alone = results()
    said = trained(dropout=0.1, together=2, learning_rate=[1e-2, 2e-2], fresh=True).stderr
    assert said.count("its runs are trained one by one: dropout is drawn run by run") == 1
    said = trained(dropout=0.1, together=2).stderr
    assert "seeds 0, 1 taken" in said or results() == alone


def test_rates_are_tried_at_once_and_one_that_diverges_loses():
    rates: dict[str, Any] = {"learning_rate": [1e-6, 1e30, 2e-2], "max_grad_norm": 0.0}
    trained(seeds=[0], **rates)
    wanted = json.loads((ADAPTERS / "learning_rates.json").read_text())
    said = trained(seeds=[0], together=3, **rates).stderr
    # The seed at the chosen rate is a run alone, and there already.
    assert "learning rates" not in said and "24/32" in said
    got = json.loads((ADAPTERS / "learning_rates.json").read_text())
    assert got["learning_rate"] == wanted["learning_rate"] == 2e-2
    for one, other in zip(got["tried"], wanted["tried"], strict=True):
        assert (one["step"], one["error"]) == (other["step"], other["error"])
        if other["value"] is None:
            assert one["value"] is None
        else:
            assert one["value"] == pytest.approx(other["value"], rel=1e-5)
    said = trained(seeds=[0], together=3, **rates).stderr
    assert "learning rates 1e-06, 1e+30, 0.02 taken from the scratch store" in said


def test_seeds_that_diverge_are_recorded():
    trained(together=2, learning_rate=1e30, max_grad_norm=0.0)
    for seed in (0, 1):
        names = [path.name for path in (ADAPTERS / f"seed-{seed}").iterdir()]
        assert names == ["failed.json"]


def test_a_group_that_is_killed_goes_on_from_its_last_checkpoint(project: pytest.MonkeyPatch):
    trained(together=2)
    whole = results()
    project.setenv("ADARANK_SCRATCH_SECONDS", "0")
    shutil.rmtree("scratch")
    take = _Training._take_step  # pyright: ignore[reportPrivateUsage]

    def killed(self: Any, batches: Any) -> None:
        if self._step == 5:
            raise KeyboardInterrupt
        take(self, batches)

    with project.context() as patch:
        patch.setattr(_Training, "_take_step", killed)
        shutil.rmtree("data/adapters")
        assert finetune().exit_code == 130
    assert not ADAPTERS.exists()
    said = trained(together=2).stderr
    assert "2 runs at once: goes on after step 5" in said
    assert results() == whole
    assert not list(Path("scratch/checkpoint").iterdir())
