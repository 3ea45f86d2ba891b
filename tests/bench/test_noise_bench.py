"""The noise figure: linearized and exact meet where the noise is small."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.noise import Noise
from adarank.scoring.outputs import compared_output
from bench import noise
from bench.subjects import pretrained


def test_the_two_meet_at_small_noise_and_part_at_large(
    pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "SCALES", (0.01, 1.0))
    monkeypatch.setattr(noise, "BATCH_SIZES", (1, 8))
    monkeypatch.setattr(noise, "SKETCHES", 32)
    monkeypatch.chdir(tmp_path)
    command = ["--model", str(pico_model), "--trials", "4", "--rows", "8", "--device", "cpu"]
    result = CliRunner().invoke(noise.app, command)
    assert result.exit_code == 0, result.output
    table = pd.read_csv("docs/figures/linearized-distance.tsv", sep="\t")
    assert list(table["noise"]) == [0.01, 1.0]
    excess = table["mean_linearized"] / table["mean_exact"] - 1
    # 0.17 with 128 sketches; 32 scatter by 0.02.
    assert 0.1 < excess.iloc[0] < 0.25 and excess.iloc[-1] > 0.3
    assert (table["distance_many"] < table["distance"]).all()
    sizes = pd.read_csv("docs/figures/linearized-batches.tsv", sep="\t")
    assert list(sizes["batch_size"]) == [1, 8, 1, 8]
    assert (sizes["distance_many"] < sizes["distance"]).all()


def test_a_root_per_text_lies_between_the_exact_limit_and_one_root(pico_model: Path) -> None:
    subject = pretrained(pico_model, 8, 8, torch.device("cpu"))
    module = subject.modules[-1]
    parameters = list(subject.model.get_submodule(module.name).parameters())
    deviations = [parameter.std(correction=0).item() for parameter in parameters]
    outputs = compared_output(subject.model, subject.batches[0], "pooled")
    # sizes[i, j]: what the noise of module moves coordinate j of text i by, to first order.
    sizes = torch.tensor([[_size(value, parameters, deviations) for value in t] for t in outputs])
    limit, per_text, one_root = (
        2 / math.pi**0.5 * size.item()
        for size in (
            sizes.mean(),
            sizes.square().mean(1).sqrt().mean(),
            sizes.square().mean() ** 0.5,
        )
    )
    assert limit < per_text < one_root
    settings = Exact(trials=100, noise=Noise(0.01))
    found = exact(subject.model, subject.batches, [module], settings).table["score"].mean()
    assert found == pytest.approx(0.01 * limit, rel=0.03)


def _size(
    value: torch.Tensor, parameters: list[torch.nn.Parameter], deviations: list[float]
) -> float:
    gradients = torch.autograd.grad(value, parameters, retain_graph=True)
    parts = zip(deviations, gradients, strict=True)
    return math.sqrt(sum((s * g.norm().item()) ** 2 for s, g in parts))


def test_the_same_table_is_drawn_to_the_same_bytes(tmp_path: Path) -> None:
    columns = ["noise", "distance", "spearman", "distance_many", "spearman_many", "distance_exact"]
    table = pd.DataFrame([[0.1, 0.02, 0.99, 0.01, 1.0, 0.01]] * 2, columns=columns)
    for name in ("a.svg", "b.svg"):
        noise.draw(table, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "<svg" in (tmp_path / "a.svg").read_text()
