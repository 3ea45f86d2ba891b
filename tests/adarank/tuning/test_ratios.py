"""Rates of B and the head: groups of the optimizer, and steps in their ratio."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor

from adarank.allocation.growth import SQUEEZED
from adarank.tuning.loop.ratios import SAME, RateRatios, split_groups
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import train
from adarank.tuning.tuners.growing import Growing
from tests.adarank.tuning import test_growing as growing
from tests.adarank.tuning.test_resuming import Memory, assert_same, pieced, run
from tests.adarank.tuning.test_training import SETTINGS, TASK, TRAIN, VALIDATION, built


def weights(model: PeftModel) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def moved(folder: Path, ratios: RateRatios) -> dict[str, float]:
    """The largest change of each trained weight in one step of AdamW."""
    model = built(folder)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # or A's gradient would be zero in the first step
            parameter.data.fill_(0.01)
    before = weights(model)
    settings = replaced(steps=1, evaluate_every=1, ratios=ratios)
    train(model, TASK, TRAIN, VALIDATION, settings, 0)
    return {name: float((p - before[name]).abs().max()) for name, p in weights(model).items()}


def replaced(**changed: Any) -> Any:
    return replace(SETTINGS, **changed)


def test_a_first_step_is_each_parts_rate(pico_model: Path) -> None:
    for name, most in moved(pico_model, RateRatios(b=8.0, head=0.5)).items():
        ratio = 8.0 if "lora_B" in name else 0.5 if "classifier" in name else 1.0
        assert most == pytest.approx(1e-2 * ratio, rel=1e-3), name


def test_ratios_of_one_change_no_bit(pico_model: Path) -> None:
    plain, same, split = built(pico_model), built(pico_model), built(pico_model)
    train(plain, TASK, TRAIN, VALIDATION, SETTINGS, 0)
    train(same, TASK, TRAIN, VALIDATION, replaced(ratios=SAME), 0)
    train(split, TASK, TRAIN, VALIDATION, replaced(ratios=RateRatios(b=2.0)), 0)
    expected = weights(plain)
    assert all(torch.equal(value, expected[name]) for name, value in weights(same).items())
    assert not all(torch.equal(value, expected[name]) for name, value in weights(split).items())


def test_groups_keep_their_settings_and_the_first_is_as() -> None:
    names = ["lora_B.default.weight", "lora_A.default.weight", "modules_to_save.default.weight"]
    model = torch.nn.Module()
    for name in names:
        owner: Any = model
        *path, last = name.split(".")
        for part in path:
            if not hasattr(owner, part):
                owner.add_module(part, torch.nn.Module())
            owner = getattr(owner, part)
        owner.register_parameter(last, torch.nn.Parameter(torch.zeros(2)))
    of = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [of[name] for name in names], "weight_decay": 0.3}], lr=0.1
    )
    split_groups(optimizer, model, RateRatios(b=4.0))
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.4]
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.3}
    first, second = (group["params"] for group in optimizer.param_groups)
    assert [id(p) for p in first] == [id(of[names[1]]), id(of[names[2]])]
    assert [id(p) for p in second] == [id(of[names[0]])]


def test_the_curve_shows_as_rate_and_every_group_follows_the_schedule(pico_model: Path) -> None:
    schedule = Schedule("linear", warmup_steps=2)
    settings = replaced(ratios=RateRatios(b=8.0), schedule=schedule)
    curve = train(built(pico_model), TASK, TRAIN, VALIDATION, settings, 0).curve
    plain = train(built(pico_model), TASK, TRAIN, VALIDATION, replaced(schedule=schedule), 0).curve
    assert curve["learning_rate"].tolist() == plain["learning_rate"].tolist()


def test_growing_ranks_keep_their_groups(pico_model: Path) -> None:
    seen: list[tuple[set[str], float]] = []
    plan = growing.plan_of(pico_model, SQUEEZED)
    model: Any = Growing().attach(growing.fresh(pico_model), plan, growing.start())
    during = Growing().during(model, plan, growing.start())
    change = during.change
    assert change is not None

    def watched(step: int, loss: float, stepping: Any) -> bool:
        changed = change(step, loss, stepping)
        if changed:
            name_of = {id(p): name for name, p in model.named_parameters()}
            for group in stepping._optimizer.param_groups:
                kinds = {
                    "lora_B" if "lora_B" in name_of[id(p)] else "other" for p in group["params"]
                }
                seen.append((kinds, group["initial_lr"]))
        return changed

    settings = replaced(steps=growing.STEPS, evaluate_every=3, ratios=RateRatios(b=8.0))
    train(model, TASK, TRAIN, VALIDATION, settings, 0, during=replace(during, change=watched))
    rates = {("lora_B" in kinds, round(rate, 9)) for kinds, rate in seen if kinds}
    assert rates == {(True, 8e-2), (False, 1e-2)}
    assert all(len(kinds) <= 1 for kinds, _ in seen)


@pytest.mark.parametrize("kind", ["lora", "growing"])
def test_a_run_cut_short_goes_on_with_its_groups(pico_model: Path, kind: str) -> None:
    plan = growing.plan_of(pico_model, SQUEEZED) if kind == "growing" else "lora"
    ratios = RateRatios(b=8.0, head=2.0)
    whole = run(pico_model, plan, None, ratios=ratios)
    assert_same(pieced(pico_model, plan, Memory(4, 8), ratios=ratios), whole)
