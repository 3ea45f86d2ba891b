"""Growing ranks: the function does not move when they grow, and the budget is exact at the end."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from pydantic import ValidationError
from transformers import GPT2Config, GPT2LMHeadModel

from adarank.allocation.growth import AS_PUBLISHED, SQUEEZED, Growth
from adarank.allocation.plan import RankPlan
from adarank.allocation.scale import Scale
from adarank.errors import InputError, RunError
from adarank.pipeline.params.growing import GrowingSection
from adarank.pipeline.params.strategies import StrategiesSection
from adarank.tasks.base import Headed
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.stepping import Stepping
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.lora import layers_of
from adarank.tuning.resizing import add_to_base, extend, gradient_rows, put, update_of
from adarank.tuning.saving import verify_saved
from adarank.tuning.tuners.base import Start
from adarank.tuning.tuners.growing import Growing
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
    assert changes[0] == "start" and changes[1:], "nothing happened"
    if "unpruned" in kind:
        assert found.parameters > plan.parameters and "cut" not in changes
    else:
        assert found.parameters == plan.parameters
        assert record["rank_changes"][-1]["ranks"] == {
            m.name: found.ranks.get(m.name, 0) for m in plan.modules
        }
    assert record["peak_parameters"] == trained.curve["parameters"].max()
    used = trained.curve["effective_rank"].dropna()
    assert len(used) and used.between(0, trained.curve["kept_rank"].max() / len(plan.modules)).all()
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


@pytest.mark.parametrize("policy", ["ratio", "rslora", "constant"])
def test_more_rank_leaves_the_function_as_it_is(pico_model: Path, policy: Any) -> None:
    scale = Scale(policy, 2.0)
    plan = plan_of(pico_model, STALLED)
    modules = tuple(replace(m, alpha=scale.alpha(m.rank)) for m in plan.modules)
    plan = replace(plan, scale=scale, modules=modules)
    model, layers = attached(pico_model, plan)
    before = logits(model)
    for layer in layers.values():
        extend(layer, torch.randn(3, update_of(layer).a.shape[1]), scale)
        assert update_of(layer).rank == layer.r["default"] == 5
        assert update_of(layer).scale == scale.factor(5)
    torch.testing.assert_close(logits(model), before, rtol=1e-5, atol=1e-5)
    assert (before - logits(fresh(pico_model).model)).abs().max() > 0.05


def test_moments_of_old_entries_are_kept(pico_model: Path) -> None:
    plan = plan_of(pico_model, STALLED)
    model, layers = attached(pico_model, plan)
    layer = next(iter(layers.values()))
    scale = Scale("constant", 4.0)
    put(layer, update_of(layer).a, update_of(layer).b, scale)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    TASK.loss(model, TASK.collate(TRAIN[:8])).backward()
    optimizer.step()
    sides = layer.lora_A["default"], layer.lora_B["default"]
    old = [dict(optimizer.state[side.weight]) for side in sides]
    extend(layer, torch.ones(2, sides[0].in_features), scale, Stepping(optimizer, lambda: None))
    new = [optimizer.state[side.weight] for side in sides]
    # Half the scale: B doubles, and its gradient halves.
    for name, factor in (("exp_avg", 0.5), ("exp_avg_sq", 0.25)):
        torch.testing.assert_close(new[0][name][:2], old[0][name])
        torch.testing.assert_close(new[1][name][:, :2], factor * old[1][name])
    assert not new[0]["exp_avg"][2:].any() and not new[1]["exp_avg"][:, 2:].any()
    mean = 0.25 * old[1]["exp_avg_sq"].mean(1)
    torch.testing.assert_close(new[1]["exp_avg_sq"][:, 3], mean)
    assert new[0]["step"] == old[0]["step"] == 1
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in model.parameters() if p.requires_grad}


def test_new_moments_do_not_overshoot() -> None:
    # What a second moment that starts at 0 beside a late step count would do; see `extend`.
    ratios = [(1 - 0.9**t) / (1 - 0.999**t) ** 0.5 for t in range(1, 200)]
    assert max(ratios) == pytest.approx(6.5, abs=0.1) and ratios.index(max(ratios)) == 11


def test_gradient_rows_are_the_best_directions_outside_a() -> None:
    draws = torch.Generator().manual_seed(0)
    gradient = torch.randn(7, 9, generator=draws, dtype=torch.float64)
    a = torch.randn(2, 9, generator=draws, dtype=torch.float64)
    rows, gains = gradient_rows(gradient, a)
    assert (rows[:5] @ a.T).abs().max() < 1e-10
    for row, gain in zip(rows[:5], gains, strict=False):
        assert row.norm().item() == pytest.approx(3**-0.5)
        assert (gradient @ row).square().sum().item() * 3 == pytest.approx(gain.item())
    projected = gradient - gradient @ torch.linalg.pinv(a) @ a
    dense = torch.linalg.svdvals(projected).square()
    torch.testing.assert_close(gains[:5], dense[:5])


def test_weight_gradients_are_those_of_the_dense_weights(pico_model: Path) -> None:
    plan = plan_of(pico_model, STALLED)
    model, layers = attached(pico_model, plan)
    batches = [TASK.collate(TRAIN[:8]), TASK.collate(TRAIN[8:16])]
    got = weight_gradients(model, TASK, batches, layers)
    dense = fresh(pico_model).model.eval()
    for name, layer in layers.items():
        add_to_base(_as_layer(dense.get_submodule(f"bert.{name}")), update_of(layer))
    (sum(TASK.loss(dense, batch) for batch in batches) / 2).backward()  # type: ignore[union-attr]
    for name, gradient in got.items():
        wanted = dense.get_submodule(f"bert.{name}").weight.grad
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6, msg=name)
    assert all(p.grad is None for p in model.parameters())


def _as_layer(linear: Any) -> Any:
    class Layer:
        fan_in_fan_out = False

        def get_base_layer(self) -> Any:
            return linear

    return Layer()


def test_by_gradient_grows_some_modules_at_the_same_cost(pico_model: Path) -> None:
    grown = {}
    for kind in ("extend", "by_gradient"):
        trained = run(pico_model, plan_of(pico_model, KINDS[kind]), None)[1]
        grown[kind] = trained.record["rank_changes"][1]["ranks"]
    assert set(grown["extend"].values()) == {4}
    ranks = grown["by_gradient"]
    assert len(set(ranks.values())) > 1 and min(ranks.values()) >= 2 and max(ranks.values()) <= 9
    cost = {m.name: m.parameters // m.rank for m in plan_of(pico_model, STALLED).modules}
    spent = {kind: sum(cost[n] * r for n, r in grown[kind].items()) for kind in grown}
    assert spent["extend"] == spent["by_gradient"]


def test_a_plateau_grows_and_a_falling_loss_does_not(pico_model: Path) -> None:
    stalled = run(pico_model, plan_of(pico_model, FAST), None)[1]
    # With no tolerance, only a loss that rose from one step to the next is a plateau.
    falling = run(pico_model, plan_of(pico_model, replace(FAST, tolerance=0.0)), None)[1]
    assert [event["step"] for event in stalled.record["rank_changes"]] == [0, 3, 5, 7, 9]
    assert stalled.curve["total_rank"].tolist()[:6] == [24, 24, 24, 48, 48, 72]
    losses = falling.curve["train_loss"].tolist()
    expected = [step for step in (3, 5, 7) if losses[step - 2] - losses[step - 1] < 0]
    grown = [e["step"] for e in falling.record["rank_changes"] if e["change"] == "extend"]
    assert grown == expected


def test_renewing_begins_optimizer_and_schedule_again(pico_model: Path) -> None:
    growth = replace(STALLED, change="renew", check_every=6, warmup_steps=0, prune="end")
    trained = run(pico_model, plan_of(pico_model, growth), None)[1]
    rates = trained.curve["learning_rate"].tolist()
    # Three steps of rise, then down to 0 after the run's 12, twice: from 12 and from 6 steps.
    assert rates[6:9] == pytest.approx([0, 1e-2 / 3, 2e-2 / 3]) == rates[:3]
    assert rates[6 + 3 :] == pytest.approx([1e-2, 2e-2 / 3, 1e-2 / 3])


@pytest.mark.parametrize("kind", ["extend", "by_gradient", "renew", "norm", "schedule"])
def test_a_run_cut_short_at_a_change_ends_with_the_same_bits(pico_model: Path, kind: str) -> None:
    plan = plan_of(pico_model, KINDS[kind])
    whole = run(pico_model, plan, None)
    steps = [event["step"] for event in whole[1].record["rank_changes"][1:]]
    kept = Memory(*(step for step in (*steps, steps[0] + 1) if step < STEPS))
    pieces = pieced(pico_model, plan, kept)
    assert_same(pieces, whole)
    assert pieces[1].record == whole[1].record
    assert kept.cuts == []


def test_the_loss_metric_cuts_other_components(pico_model: Path) -> None:
    ranks = [
        run(pico_model, plan_of(pico_model, replace(STALLED, loss_metric=metric)), None)[1]
        for metric in (True, False)
    ]
    seen, norm = (one.record["rank_changes"][-1]["ranks"] for one in ranks)
    assert seen != norm
    assert all(0 < one.record["rank_changes"][-1]["energy_lost"] < 1 for one in ranks)


@pytest.mark.parametrize("loss_metric", [True, False])
def test_a_cut_can_keep_the_ranks_of_the_plan(pico_model: Path, loss_metric: bool) -> None:
    kept = Growth(schedule=(4, 2, 1), rows=16, keep="plan", loss_metric=loss_metric)
    plan = plan_of(pico_model, kept, uneven)
    changes = run(pico_model, plan, None)[1].record["rank_changes"]
    assert changes[1]["ranks"] == {name: 2 * rank for name, rank in plan.ranks.items()}
    assert changes[2]["ranks"] == plan.ranks
    by_energy = run(pico_model, plan_of(pico_model, replace(kept, keep="energy"), uneven), None)
    assert by_energy[1].record["rank_changes"][2]["ranks"] != plan.ranks


def test_a_start_below_the_budget_ends_at_it(pico_model: Path) -> None:
    never = replace(FAST, start_rank=1, tolerance=0.0, warmup_steps=10, trigger="plateau")
    for rank in (lambda _: 3, uneven):
        plan = plan_of(pico_model, never, rank)
        model = run(pico_model, plan, None)[3]
        found = Growing().verify(model, plan, ("classifier",))
        assert found.parameters == plan.parameters
        factors = [update_of(layer) for layer in layers_of(model).values()]
        assert all(bool(one.a.any(dim=1).all()) for one in factors), "a row that cannot learn"


def test_another_budget_is_refused(pico_model: Path, tmp_path: Path) -> None:
    plan = plan_of(pico_model, KINDS["schedule"])
    model = Growing().attach(fresh(pico_model), plan, start())
    Growing().save(model, tmp_path)
    loaded = Growing().load(fresh(pico_model), tmp_path)
    with pytest.raises(RunError, match="does not spend its budget"):
        Growing().verify(loaded, plan, ("classifier",))


def test_every_bad_value_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Growth(start_rank=0, step=-1, trigger="x", prune=1.5, tolerance=float("nan"))  # type: ignore[arg-type]
    where = {problem.where for problem in caught.value.problems}
    assert where == {
        f"growing.{n}" for n in ("start_rank", "step", "trigger", "prune", "tolerance")
    }
    with pytest.raises(InputError) as caught:
        Growth(start_rank=4, max_rank=3, schedule=(4, 8, 2), shares=(0.5, 0.6))
    where = [problem.where for problem in caught.value.problems]
    assert sorted(where) == [
        "growing.max_rank",
        "growing.schedule",
        "growing.shares",
        "growing.start_rank",
    ]


@pytest.mark.parametrize(
    ("growth", "words"),
    [
        (Growth(max_rank=33), "above the module's smaller side"),
        (Growth(max_rank=1), "ranks that cannot grow"),
        (Growth(window=7), "longer than the run"),
        (Growth(warmup_steps=12), "longer than the run"),
        (Growth(prune=0.01), "a part of the run without a step"),
        (Growth(schedule=(4, 2, 1), shares=(0.5, 0.01, 0.49)), "a part of the run without a step"),
    ],
)
def test_what_a_run_does_not_allow_is_named(pico_model: Path, growth: Growth, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Growing().attach(fresh(pico_model), plan_of(pico_model, growth), start())


def test_no_rows_to_measure_on_is_refused(pico_model: Path) -> None:
    with pytest.raises(InputError, match="no rows to measure"):
        Growing().attach(fresh(pico_model), plan_of(pico_model, FAST), start(train_rows=[]))


def test_a_plan_carries_its_growth(pico_model: Path) -> None:
    plan = plan_of(pico_model, KINDS["squeezed"])
    assert RankPlan.from_json(plan.to_json()) == plan
    assert "growth" not in make_plan(pico_model, lambda _: 2).to_json()


def test_merging_into_transposed_weights() -> None:
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=20, n_positions=8)
    targets = LoraConfig(target_modules=["c_attn"], r=2, fan_in_fan_out=True)
    model = get_peft_model(GPT2LMHeadModel(config).eval(), targets)
    layer: Any = next(iter(layers_of(model).values()))
    put(layer, update_of(layer).a, torch.randn(48, 2), Scale())
    before = layer.get_base_layer().weight.detach().clone()
    add_to_base(layer, update_of(layer))
    wanted = before + layer.get_delta_weight("default")
    torch.testing.assert_close(layer.get_base_layer().weight, wanted)


def test_params_define_growing_strategies() -> None:
    defined = StrategiesSection.model_validate(
        {"halved": {"growing": {"schedule": [4, 2, 1], "prune": "end", "loss_metric": False}}}
    ).strategies()["halved"]
    assert defined.tuner == "growing"
    assert defined.growth == Growth(schedule=(4, 2, 1), prune="end", loss_metric=False)
    with pytest.raises(
        ValidationError,
        match=r"growing\.schedule: no such schedule \(\(1.0, 2.0\)\); expected two or more falling",
    ):
        StrategiesSection.model_validate({"bad": {"growing": {"schedule": [1, 2]}}})
    for bad in (1.0, 200, "later", True):
        with pytest.raises(ValidationError, match="none, end, or a share of the steps") as caught:
            GrowingSection(prune=bad)  # pyright: ignore[reportArgumentType]
        assert caught.value.error_count() == 1
    assert GrowingSection().growth() == Growth()


def test_losses_before_a_cut_are_remembered(pico_model: Path) -> None:
    plan = plan_of(pico_model, replace(FAST, window=2))
    whole = run(pico_model, plan, None)
    assert [e["step"] for e in whole[1].record["rank_changes"]] == [0, 5, 9]
    assert_same(pieced(pico_model, plan, Memory(*range(1, STEPS))), whole)


def test_renewing_leaves_the_function_as_it_is_until_the_end(pico_model: Path) -> None:
    plan = plan_of(pico_model, KINDS["renew_unpruned"])
    model, layers = attached(pico_model, plan)
    before = logits(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    TASK.loss(model, TASK.collate(TRAIN[:8])).backward()
    optimizer.step()
    model.zero_grad()
    stepped, restarted = logits(model), []
    during = Growing().during(model, plan, start())
    assert during.change is not None and during.finish is not None
    stepping = Stepping(optimizer, lambda: restarted.append(True))
    assert during.change(3, 1.0, stepping)
    assert restarted == [True] and not optimizer.state, "the head's moments too are new"
    torch.testing.assert_close(logits(model), stepped, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(before, stepped)
    assert {update_of(layer).rank for layer in layers.values()} == {4}
    during.finish()
    torch.testing.assert_close(logits(model), stepped, rtol=1e-5, atol=1e-5)
    assert {update_of(layer).rank for layer in layers.values()} == {2 + 4}


def test_weights_of_other_ranks_are_not_kept(pico_model: Path) -> None:
    looks = iter(range(100))

    class Worsening(type(TASK)):
        def metrics(self, predictions: Any) -> dict[str, float | None]:
            return super().metrics(predictions) | {"loss": float(next(looks))}

    worsening = Worsening(TASK.labels, TASK.tokenizer, TASK.max_length)  # type: ignore[attr-defined]
    plan = plan_of(pico_model, KINDS["unpruned"])
    model = Growing().attach(fresh(pico_model), plan, start())
    during = Growing().during(model, plan, start())
    settings = Settings(1e-2, Schedule("constant"), STEPS, 8, evaluate_every=1)
    went = train(model, worsening, TRAIN, VALIDATION, settings, 0, during=during)
    # Grown after steps 3, 5, 7 and 9 to the highest rank, 9: the first look since is the best.
    assert went.best_step == 9 == went.record["rank_changes"][-1]["step"]
