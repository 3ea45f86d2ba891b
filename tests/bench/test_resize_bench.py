"""The rules are those of their owners, and the bench prints what it measured."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from peft import PeftModel, convert_to_lora
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from adarank.pipeline.adapters.reading import read_adapter
from adarank.pipeline.adapters.resizing import decomposed
from bench.resize import app, compared, relative_error
from bench.resize_rules import RULES, ranks_by, sv_cumulative, sv_fro, sv_ratio
from tests.adarank.pipeline.adapters.pico_adapters import adapted, differences
from tests.pico import pico_rows, save_pico_model

SIGMA = np.array([4.0, 2.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pico_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("adapter") / "adapter"
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    targets = ["query", "key", "value", "intermediate.dense"]
    adapted(model, task_type="SEQ_CLS", r=8, target_modules=targets).save_pretrained(place)
    return place


def test_the_rules_by_hand() -> None:
    # 4 + 2 is 75 % of the sum; 16 + 4 is 90.9 % of the squares, so 95.3 % of the norm.
    assert [sv_cumulative(SIGMA, share) for share in (0.4, 0.7, 0.76, 1.0)] == [1, 2, 3, 4]
    assert [sv_fro(SIGMA, share) for share in (0.8, 0.95, 0.96)] == [1, 2, 3]
    assert [sv_ratio(SIGMA, 1 / ratio) for ratio in (1.5, 3, 5)] == [1, 2, 4]


@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.95])
def test_sv_fro_is_pefts_energy_threshold(base: Path, folder: Path, threshold: float) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    _, state = convert_to_lora(PeftModel.from_pretrained(model, str(folder)), rank=threshold)
    peft = {
        key.removeprefix("base_model.model.").removesuffix(".lora_A.weight"): len(tensor)
        for key, tensor in state.items()
        if key.endswith(".lora_A.weight")
    }
    parts = decomposed(read_adapter(folder))
    ours = {n: sv_fro(one.energies.sqrt().numpy(), threshold**0.5) for n, one in parts.items()}
    assert ours == peft and len(set(ours.values())) > 1


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_knob_is_turned_as_far_as_the_budget_allows(rule, folder: Path) -> None:
    parts = decomposed(read_adapter(folder))
    sigmas = {name: one.energies.sqrt().numpy() for name, one in parts.items()}
    costs = {part.name: part.parameters_per_rank for part in read_adapter(folder).linear}
    budget = 4 * sum(costs.values())
    spent = sum(costs[n] * r for n, r in ranks_by(rule, sigmas, costs, budget).items())
    assert 0.7 * budget < spent <= budget


def test_the_relative_error_is_the_dense_one(base: Path, folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    dense, parts = differences(model, folder), decomposed(read_adapter(folder))
    ranks = {name: index % 8 for index, name in enumerate(parts)}
    lost = sum(
        float((dense[n] - one.u[:, : ranks[n]] @ one.rows[: ranks[n]]).square().sum())
        for n, one in parts.items()
    )
    whole = sum(float(one.square().sum()) for one in dense.values())
    assert relative_error(parts, parts, ranks) == pytest.approx((lost / whole) ** 0.5, rel=1e-5)


def test_ours_errs_least_at_equal_parameters(folder: Path) -> None:
    adapter = read_adapter(folder)
    own = sum(part.parameters for part in adapter.linear)
    rows = compared(adapter, own // 4, None, None)
    for rule, ours in zip(rows[:-1:2], rows[1:-1:2], strict=True):
        assert ours.parameters == rule.parameters and ours.error <= rule.error
    assert rows[-1].parameters == own // 4


def test_it_prints_errors_and_the_tasks_metric(base: Path, folder: Path, tmp_path: Path) -> None:
    pico_rows(24).to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "texts.txt").write_text("\n".join(pico_rows(8, seed=1)["text"]))
    flags = ["--model", base, "--test", tmp_path / "test.csv", "--texts", tmp_path / "texts.txt"]
    result = CliRunner().invoke(app, [str(folder), *map(str, flags)])
    assert result.exit_code == 0, result.output
    assert result.output.count("by loss") == 3 and "accuracy" in result.output
    assert pd.read_csv(tmp_path / "test.csv").columns.tolist() == ["text", "label"]
