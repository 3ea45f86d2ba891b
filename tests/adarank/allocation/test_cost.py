"""The cost model of training: closed forms, and what autograd keeps and computes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig

from adarank.allocation.cost import training_cost
from adarank.models.modules import Module, find_modules
from adarank.tasks.registry import make_task
from adarank.tuning.lora import attach
from adarank.tuning.shortcuts.dropout import without_dropout
from adarank.tuning.shortcuts.shortcuts import PrefixStore, shortcuts
from tests.pico import pico_tokenizer, save_pico_model
from tests.plans import make_plan

TASK = make_task({"type": "classification", "labels": ["a", "b"]}, pico_tokenizer(), 32)
ROWS = [
    {"input_ids": [2, *range(5, 5 + 10), 3], "attention_mask": [1] * 12, "labels": n % 2}
    for n in range(4)
]
PLANS = {
    "uniform": lambda _: 1,
    "feed-forward": lambda module: int(module.kind in {"up", "down"}),
    "last": lambda module: 2 * (module.block == 2),
    "values": lambda module: int(module.kind == "value"),
    "outputs, late": lambda module: int(module.kind == "dense" and module.block > 0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = BertConfig(
        vocab_size=60,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=64,
    )
    return save_pico_model(tmp_path_factory.mktemp("cost") / "model", config)


def counted(
    folder: Path, rank: Any, *, short: bool
) -> tuple[float, float, dict[str, int], list[Module]]:
    """Operations of one row's forward and backward pass, the head's and the pooler's left out."""
    headed = TASK.build(folder, 0)
    without_dropout(headed.model)
    modules = find_modules(headed.model)
    plan = make_plan(folder, rank)
    model = attach(headed, plan, peft_type=TASK.peft_type, dropout=0.0, seed=0)
    batch = TASK.collate(ROWS)
    with shortcuts(model, modules, TASK, ROWS, PrefixStore(limit_gb=float(short))) as taken:
        assert taken.last_row
        # The products of a fused kernel would not be counted.
        with sdpa_kernel(SDPBackend.MATH):
            with FlopCounterMode(display=False) as forward:
                loss = TASK.loss(model, batch)
            with FlopCounterMode(display=False) as backward:
                loss.backward()
    pooler, classifier = 2 * 64 * 64, 2 * 64 * 2
    n = len(ROWS)
    found = (
        forward.get_total_flops() / n - pooler - classifier,
        backward.get_total_flops() / n - pooler - 2 * classifier,
    )
    return *found, plan.ranks, modules


@pytest.mark.parametrize("name", PLANS)
def test_operations_are_those_that_torch_counts(name: str, folder: Path):
    short = name == "last"
    forward, backward, ranks, modules = counted(folder, PLANS[name], short=short)
    cost = training_cost(modules, ranks, 12, stored_prefix=short, last_row=True)
    assert cost.forward_flops == pytest.approx(forward, rel=0.01)
    assert cost.backward_flops == pytest.approx(backward, rel=0.03)


def test_late_adapters_cost_less_and_shortcuts_less_still(folder: Path):
    headed = TASK.build(folder, 0)
    modules = find_modules(headed.model)
    every = {module.name: 1 for module in modules}
    late = {module.name: 3 for module in modules if module.block == 2}
    costs = [
        training_cost(modules, every, 12),
        training_cost(modules, late, 12),
        training_cost(modules, late, 12, stored_prefix=True),
        training_cost(modules, late, 12, stored_prefix=True, last_row=True),
    ]
    flops = [cost.flops for cost in costs]
    assert flops == sorted(flops, reverse=True) and len(set(flops)) == 4
    assert costs[1].kept_bytes < 0.4 * costs[0].kept_bytes
    # A third of the blocks: a third of the forward's products.
    assert costs[2].forward_flops == pytest.approx(costs[1].forward_flops / 3, rel=0.05)


def test_nothing_adapted_costs_the_forward_alone(folder: Path):
    modules = find_modules(TASK.build(folder, 0).model)
    cost = training_cost(modules, {}, 12)
    assert cost.backward_flops == cost.kept_bytes == 0
    assert torch.isfinite(torch.tensor(cost.forward_flops))
