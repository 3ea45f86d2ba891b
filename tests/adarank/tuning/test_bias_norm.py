"""Biases and norms trained before ranks: counted exactly, saved as PEFT's own, read back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModel, AutoModelForSequenceClassification

from adarank.allocation.allocate import allocate
from adarank.allocation.plan import RankPlan
from adarank.allocation.strategies.controls import original
from adarank.allocation.strategies.registry import find_strategy
from adarank.errors import InputError, RunError
from adarank.models.bias_norm import BiasNorm
from adarank.models.modules import find_modules
from adarank.models.norms import find_bias_norm
from adarank.scoring.table import score_table
from adarank.tuning.loop.training import train
from adarank.tuning.saving import verify_saved
from adarank.tuning.tuners.base import Start
from adarank.tuning.tuners.lora import Lora
from tests.adarank.tuning.test_resuming import Memory, assert_same, pieced, run
from tests.adarank.tuning.test_training import SETTINGS, TASK, TRAIN, VALIDATION
from tests.architectures import CONFIGS

BUDGET = 2
START = Start(TASK, TRAIN, 6, 8, dropout=0.0, seed=0)


def planned(folder: Path, strategy: str = "bias_norm_uniform", budget: float = BUDGET) -> RankPlan:
    model = AutoModel.from_pretrained(folder)
    modules = find_modules(model)
    table = score_table(modules, np.arange(1.0, len(modules) + 1)[:, None])
    bias_norm = find_bias_norm(model, modules)
    return allocate({"scores": table}, budget=budget, strategy=strategy, bias_norm=bias_norm)


def attached(folder: Path, plan: RankPlan) -> Any:
    return Lora().attach(TASK.build(folder, 0), plan, START)


def test_biases_but_the_keys_and_the_blocks_norms_are_found(pico_model: Path) -> None:
    model = AutoModel.from_pretrained(pico_model)
    found = find_bias_norm(model, find_modules(model))
    # Two blocks: query, value, dense, output of 32 and the intermediate of 64; two LayerNorms.
    assert sum(found.biases.values()) == 2 * (4 * 32 + 64) and len(found.biases) == 10
    assert not any("key" in name for name in found.biases)
    assert sum(found.norms.values()) == 2 * 2 * 2 * 32 and len(found.norms) == 4


def test_a_llama_has_norms_alone() -> None:
    model = AutoModel.from_config(CONFIGS["llama"]())
    found = find_bias_norm(model, find_modules(model))
    assert not found.biases and found.norms
    assert found.in_words().startswith("no module has a bias; ")


def test_the_budget_is_spent_on_all_of_it_together(pico_model: Path) -> None:
    plain, plan = planned(pico_model, "uniform"), planned(pico_model)
    assert plan.bias_norm is not None and plan.bias_norm.parameters == 2 * (4 * 32 + 64) + 256
    ranks = sum(module.parameters for module in plan.modules)
    assert plan.parameters == ranks + plan.bias_norm.parameters == plain.parameters
    assert RankPlan.from_json(plan.to_json()) == plan


def test_exactly_these_are_trained_saved_and_read_back(pico_model: Path, tmp_path: Path) -> None:
    plan, headed = planned(pico_model), TASK.build(pico_model, 0)
    model = attached(pico_model, plan)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    head = sum(p.numel() for n, p in trained.items() if "classifier" in n)
    assert sum(p.numel() for p in trained.values()) == plan.parameters + head
    assert not any(".key." in n and n.endswith("bias") for n in trained)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    train(model, TASK, TRAIN, VALIDATION, SETTINGS, 0)
    still = {n for n, p in model.named_parameters() if torch.equal(p, before[n])}
    assert {n for n in before if n not in trained} == still

    Lora().save(model, tmp_path)
    fresh = lambda: TASK.build(pico_model, 0)  # noqa: E731
    found = verify_saved(Lora(), model, plan, tmp_path, fresh)
    assert (found.parameters, found.head_parameters) == (plan.parameters, head)
    peft = PeftModel.from_pretrained(
        AutoModelForSequenceClassification.from_pretrained(pico_model, num_labels=3), str(tmp_path)
    )
    batch = {n: t for n, t in TASK.collate(VALIDATION).items() if n != "labels"}
    with torch.no_grad():
        assert torch.equal(peft.eval()(**batch).logits, model.eval()(**batch).logits)
    assert headed.head == ("classifier",)


def test_a_model_that_lacks_what_is_planned_is_refused(pico_model: Path) -> None:
    plan = planned(pico_model)
    model = attached(pico_model, plan)
    assert plan.bias_norm is not None
    name = next(iter(plan.bias_norm.biases))
    biases = {**plan.bias_norm.biases, name: 7}
    wrong = replace(
        plan, bias_norm=BiasNorm(biases, plan.bias_norm.norms), parameters=plan.parameters + 7 - 32
    )
    with pytest.raises(RunError, match="trained beside the adapters"):
        Lora().verify(model, wrong, ("classifier",))


def test_a_run_cut_short_goes_on_with_them(pico_model: Path) -> None:
    plan = planned(pico_model)
    assert_same(pieced(pico_model, plan, Memory(2, 7)), run(pico_model, plan, None))


@pytest.mark.parametrize("name", ["bias_norm_full", "bias_norm_eva", "bias_norm_literal_empirical"])
def test_ranks_that_no_budget_sets_take_no_bias_norm(name: str) -> None:
    with pytest.raises(InputError, match="leave `bias_norm_` out"):
        find_strategy(name)


def test_a_budget_too_small_and_a_model_without_any_are_refused(pico_model: Path) -> None:
    with pytest.raises(InputError, match="leave nothing of the budget for ranks"):
        planned(pico_model, budget=0.4)
    modules = find_modules(AutoModel.from_pretrained(pico_model))
    table = score_table(modules, np.ones((len(modules), 1)))
    for bias_norm in (None, BiasNorm({}, {})):
        with pytest.raises(InputError, match="no bias and no norm is known"):
            allocate({"scores": table}, budget=2, strategy="bias_norm_uniform", bias_norm=bias_norm)


def test_one_name_and_a_control() -> None:
    assert original("bias_norm_permuted_fisher") == "bias_norm_fisher"
    with pytest.raises(InputError, match="write bias_norm_permuted_fisher"):
        find_strategy("permuted_bias_norm_fisher")
