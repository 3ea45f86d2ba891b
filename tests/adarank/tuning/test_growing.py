"""Growing ranks: the function does not move when they grow, and the budget is exact at the end."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adarank.allocation.growth import AS_PUBLISHED, SQUEEZED, Growth
from adarank.allocation.plan import RankPlan
from adarank.allocation.scale import Scale
from adarank.errors import InputError, RunError
from adarank.tasks.base import Headed
from adarank.tuning.loop.stepping import Stepping
from adarank.tuning.lora import layers_of
from adarank.tuning.resizing import add_to_base, extend, gradient_rows, put, update_of
from adarank.tuning.saving import verify_saved
from adarank.tuning.tuners.base import Start
from adarank.tuning.tuners.growing import Growing, with_ranks
from adarank.tuning.update_statistics import weight_gradients
from tests.adarank.tuning.test_resuming import Memory, assert_same, pieced, run
from tests.adarank.tuning.test_tuners import STEPS, TASK, TRAIN, VALIDATION, logits
from tests.plans import make_plan, uneven

# Checks after steps 3, 5, 7 ...; always stalled, so ranks grow at each until the cut.
FAST = Growth(
    max_rank=9,
    check_every=2,
    warmup_steps=1,
    window=1,
    tolerance=1e9,
    prune=0.75,
    rows=16,
    trigger="plateau",
)
STALLED = replace(FAST, tolerance=0.0, trigger="threshold")
KINDS = {
    "extend": STALLED,
    "by_gradient": replace(STALLED, grow="by_gradient", direction="gradient"),
    "renew": replace(STALLED, change="renew"),
    "norm": replace(STALLED, loss_metric=False, prune="end"),
    "schedule": Growth(schedule=(4, 2, 1), rows=16),
    "squeezed": replace(SQUEEZED, rows=16),
    "published": replace(AS_PUBLISHED, check_every=3, tolerance=0.0, rows=16),
    "unpruned": replace(STALLED, prune="none"),
    "renew_unpruned": replace(STALLED, change="renew", prune="none"),
}


def plan_of(folder: Path, growth: Growth, rank: Any = lambda _: 2) -> RankPlan:
    return replace(make_plan(folder, rank, tuner="growing"), growth=growth)


def start(**changed: Any) -> Start:
    return replace(Start(TASK, TRAIN, STEPS, batch_size=8, dropout=0.0, seed=0), **changed)


def fresh(folder: Path) -> Headed:
    return TASK.build(folder, 0)


def attached(folder: Path, plan: RankPlan) -> tuple[Any, dict[str, Any]]:
    model = Growing().attach(fresh(folder), plan, start())
    layers = layers_of(model)
    for layer in layers.values():  # as if trained
        update = update_of(layer)
        draws = torch.Generator().manual_seed(1)
        put(layer, update.a, torch.randn(update.b.shape, generator=draws) / 8, plan.scale)
    return model, layers


@pytest.mark.parametrize("kind", KINDS)
def test_ends_as_a_plain_adapter_at_the_exact_budget(
    pico_model: Path, tmp_path: Path, kind: str
) -> None:
    plan = plan_of(pico_model, KINDS[kind])
    _, trained, _, model = run(pico_model, plan, None)
    tuner = Growing()
    tuner.save(model, tmp_path)
    found = verify_saved(tuner, model, plan, tmp_path, lambda: fresh(pico_model))
    record = trained.record
    changes = [event["change"] for event in record["rank_changes"]]
    assert changes, "nothing happened"
    if "unpruned" in kind:
        assert found.parameters > plan.parameters and "cut" not in changes
    else:
        assert found.parameters == plan.parameters
        assert record["rank_changes"][-1]["ranks"] == {
            m.name: found.ranks.get(m.name, 0) for m in plan.modules
        }
    assert record["peak_parameters"] == trained.curve["parameters"].max()
    assert record["mean_parameters"] == pytest.approx(trained.curve["parameters"].mean())
    if kind != "renew_unpruned":
        assert record["peak_parameters"] > plan.parameters
    base, untouched = model.get_base_model(), fresh(pico_model).model
    weights = dict(untouched.named_parameters())
    same = [
        torch.equal(p, weights[name.replace(".base_layer", "")])
        for name, p in base.named_parameters()
        if ".base_layer." in name
    ]
    assert len(same) > 20 and all(same), "the base has moved"


@pytest.mark.parametrize("kind", ["extend", "renew", "schedule"])
def test_stock_peft_in_a_fresh_process_computes_the_same(
    pico_model: Path, tmp_path: Path, kind: str
) -> None:
    plan = plan_of(pico_model, KINDS[kind])
    model = run(pico_model, plan, None)[3]
    Growing().save(model, tmp_path / "adapter")
    code = f"""
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification
from tests.adarank.tuning.test_tuners import logits
base = AutoModelForSequenceClassification.from_pretrained({str(pico_model)!r}, num_labels=3)
model = PeftModel.from_pretrained(base, {str(tmp_path / "adapter")!r})
torch.save(logits(model), {str(tmp_path / "logits.pt")!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    there = torch.load(tmp_path / "logits.pt")
    torch.testing.assert_close(there, logits(model), rtol=0, atol=1e-5)
