"""Tuners: what each trains is what it reports, saves and reloads, and what the plan allows."""

import copy
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    EvaConfig,
    LoraConfig,
    PeftModel,
    get_peft_model,
    initialize_lora_eva_weights,
)
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, GPT2Config, GPT2LMHeadModel

from adarank.allocation.plan import RankPlan
from adarank.errors import InputError, RunError
from adarank.tasks.base import Headed
from adarank.tasks.registry import make_task
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.rates import Chosen, Rates, choose_rates
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.loop.watch import Trained
from adarank.tuning.saving import verify_saved
from adarank.tuning.tuners.adalora import AdaLora, start_rank, target_sum
from adarank.tuning.tuners.base import During, Start
from adarank.tuning.tuners.eva import Eva, counted_tokens, eva_batches
from adarank.tuning.tuners.full import Full
from adarank.tuning.tuners.registry import TUNERS
from tests.pico import pico_rows, pico_tokenizer
from tests.plans import make_plan, uneven

TASK = make_task(
    {"type": "classification", "labels": ["who", "what", "where"]}, pico_tokenizer(), 32
)
TRAIN = TASK.encode(pico_rows(30)).examples
VALIDATION = TASK.encode(pico_rows(12, seed=1)).examples
STEPS = 12
SETTINGS = Settings(1e-2, Schedule("constant"), STEPS, 8, evaluate_every=3)
NAMES = sorted(TUNERS)


def plan_of(folder: Path, tuner: str, rank: Callable[[Any], int] = lambda _: 2) -> RankPlan:
    ranks = (lambda _: 0) if tuner == "full" else rank
    return make_plan(folder, ranks, tuner=tuner)


def start(seed: int = 0, **changed: Any) -> Start:
    begun = Start(TASK, TRAIN, STEPS, batch_size=8, dropout=0.0, seed=seed)
    return replace(begun, **changed)


def fresh(folder: Path) -> Headed:
    return TASK.build(folder, 0)


def trained(
    folder: Path, plan: RankPlan, during: During | None = None, **changed: Any
) -> tuple[Any, Trained]:
    """A model trained for a few steps by the plan's tuner, and how it went."""
    tuner = TUNERS[plan.tuner]
    model = tuner.attach(fresh(folder), plan, start())
    settings = replace(SETTINGS, **changed)
    beside = during or tuner.during(model, plan, start())
    return model, train(model, TASK, TRAIN, VALIDATION, settings, 0, during=beside)


def logits(model: Any) -> torch.Tensor:
    batch = pico_tokenizer()(["who is the king of the city"], return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**batch).logits


@dataclass(frozen=True)
class Done:
    """A finished run, saved; read-only."""

    plan: RankPlan
    model: Any
    went: Trained
    folder: Path


@pytest.fixture(scope="module")
def done(pico_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Done]:
    """Gives each tuner's finished run, trained once for all tests."""
    runs: dict[str, Done] = {}

    def give(name: str) -> Done:
        if name not in runs:
            plan, folder = plan_of(pico_model, name), tmp_path_factory.mktemp(name)
            model, went = trained(pico_model, plan)
            TUNERS[name].save(model, folder)
            runs[name] = Done(plan, model, went, folder)
        return runs[name]

    return give


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_reloads_as_it_was_trained(
    pico_model: Path, done: Callable[[str], Done], name: str
):
    run, tuner = done(name), TUNERS[name]
    told = tuner.verify(run.model, run.plan, ("classifier",))
    assert told == verify_saved(tuner, run.model, run.plan, run.folder, lambda: fresh(pico_model))
    reloaded = tuner.load(fresh(pico_model), run.folder)
    torch.testing.assert_close(logits(reloaded), logits(run.model), rtol=1e-6, atol=1e-6)
    # Exactly the head and what is told of are in the file.
    saved = load_file(next(run.folder.glob("*.safetensors")))
    head = 3 * 32 + 3
    assert told.head_parameters == head
    assert sum(tensor.numel() for tensor in saved.values()) == told.parameters + head


@pytest.mark.parametrize("name", NAMES)
def test_the_same_again_is_the_same_bytes(
    pico_model: Path, tmp_path: Path, done: Callable[[str], Done], name: str
):
    run = done(name)
    TUNERS[name].save(trained(pico_model, run.plan)[0], tmp_path)
    names = sorted(path.name for path in run.folder.iterdir())
    assert len(names) == 2
    for file in names:
        assert (tmp_path / file).read_bytes() == (run.folder / file).read_bytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", ["shape", "lost", "cut"])
def test_a_damaged_file_is_named(
    pico_model: Path, tmp_path: Path, done: Callable[[str], Done], name: str, change: str
):
    shutil.copytree(done(name).folder, tmp_path, dirs_exist_ok=True)
    path = next(tmp_path.glob("*.safetensors"))
    weights = load_file(path)
    tensor = next(key for key in weights if "layer.1" in key)
    weights[tensor] = torch.zeros(7, 5)
    if change == "lost":
        del weights[tensor]
    save_file(weights, path, metadata={"format": "pt"})
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        TUNERS[name].load(fresh(pico_model), tmp_path)
    told = tensor.rpartition("lora_")[0] or tensor
    assert change == "cut" or told.rstrip(".") in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_start_is_the_seeds(pico_model: Path, name: str):
    plan, tuner = plan_of(pico_model, name), TUNERS[name]
    first, again = (tuner.state(tuner.attach(fresh(pico_model), plan, start(3))) for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    if name != "full":
        other = tuner.state(tuner.attach(fresh(pico_model), plan, start(4)))
        assert any(not torch.equal(first[key], other[key]) for key in first if "lora_A" in key)


def test_adalora_ends_at_the_budgets_sum_of_ranks(pico_model: Path, done: Callable[[str], Done]):
    plan = plan_of(pico_model, "adalora")
    tuner = AdaLora()
    model = tuner.attach(fresh(pico_model), plan, start())
    before = tuner.verify(model, plan, ("classifier",))
    assert set(before.ranks.values()) == {start_rank(2)} == {3} and len(before.ranks) == 12
    assert before.parameters == sum(3 * (m.parameters // 2 + 1) for m in plan.modules)

    model = done("adalora").model
    after = tuner.verify(model, plan, ("classifier",))
    assert sum(after.ranks.values()) == target_sum(plan) == 24
    assert len(set(after.ranks.values())) > 1, "all modules alike: nothing was cut by importance"
    cost = {m.name: m.parameters // 2 + 1 for m in plan.modules}
    assert after.parameters == sum(rank * cost[name] for name, rank in after.ranks.items())

    base = AutoModelForSequenceClassification.from_pretrained(pico_model, num_labels=3)
    stock = PeftModel.from_pretrained(base, done("adalora").folder)
    torch.testing.assert_close(logits(stock), logits(model), rtol=1e-6, atol=1e-6)


def test_adalora_ends_at_a_budget_below_one(pico_model: Path, tmp_path: Path):
    half = replace(plan_of(pico_model, "adalora", lambda m: m.block), budget=0.55)
    model, _ = trained(pico_model, half)
    ranks = AdaLora().verify(model, half, ("classifier",)).ranks
    # 0.55 * 12 modules = 6.6, which PEFT by itself would round down.
    assert sum(ranks.values()) == target_sum(half) == 7
    assert len(ranks) < 12 and 0 not in ranks.values()
    AdaLora().save(model, tmp_path)
    found = verify_saved(AdaLora(), model, half, tmp_path, lambda: fresh(pico_model))
    assert found.ranks == ranks


def test_adalora_untold_of_its_steps_is_refused(pico_model: Path, tmp_path: Path):
    plan = plan_of(pico_model, "adalora")
    model, _ = trained(pico_model, plan, during=During())
    assert set(AdaLora().verify(model, plan, ("classifier",)).ranks.values()) == {3}
    with pytest.raises(RunError, match="has not cut its ranks"):
        AdaLora().save(model, tmp_path)


def test_adalora_keeps_no_weights_before_its_last_cut(pico_model: Path):
    looks = iter(range(100))

    class Worsening(type(TASK)):
        def metrics(self, predictions: Any) -> dict[str, float | None]:
            return super().metrics(predictions) | {"loss": float(next(looks))}

    worsening = Worsening(TASK.labels, TASK.tokenizer, TASK.max_length)  # type: ignore[attr-defined]
    plan = plan_of(pico_model, "adalora")
    model = AdaLora().attach(fresh(pico_model), plan, start())
    settings = replace(SETTINGS, evaluate_every=1, patience=2)
    during = AdaLora().during(model, plan, start())
    went = train(model, worsening, TRAIN, VALIDATION, settings, 0, during=during)
    # Nor does a run end before, however long ago its best look was.
    assert during.keep_from == went.best_step == 6 and len(went.curve) == 8
    assert sum(AdaLora().verify(model, plan, ("classifier",)).ranks.values()) == 24


def test_adaloras_penalty_is_pefts_own_and_in_the_loss(
    pico_model: Path, done: Callable[[str], Done]
):
    plan = plan_of(pico_model, "adalora")
    model = AdaLora().attach(fresh(pico_model), plan, start())
    batch = TASK.collate(TRAIN[:8])
    during = AdaLora().during(model, plan, start())
    assert during.penalty is not None
    plain = model.eval()(**batch).loss.item()
    model.peft_config["default"].orth_reg_weight = 0.5
    with_penalty = model(**batch).loss.item()
    assert during.penalty().item() == pytest.approx(with_penalty - plain, rel=1e-4)

    _, bare = trained(pico_model, plan, during=During(), steps=1)
    first, without = (one.curve["train_loss"].iloc[0] for one in (done("adalora").went, bare))
    assert first - without == pytest.approx(with_penalty - plain, rel=1e-4)


def test_a_masked_value_that_came_back_is_told(done: Callable[[str], Done]):
    run = done("adalora")
    model = copy.deepcopy(run.model)
    for name, parameter in model.named_parameters():
        if "lora_E" in name:
            parameter.data += 1.0
    with pytest.raises(RunError, match="masked singular value"):
        AdaLora().verify(model, run.plan, ("classifier",))


@pytest.mark.parametrize(("budget", "rank"), [(0.5, 2), (1, 2), (2, 3), (3, 5), (4, 6), (4.2, 8)])
def test_adalora_starts_above_its_target(budget: float, rank: int):
    assert start_rank(budget) == rank > budget


def test_eva_begins_as_pefts_own_does(pico_model: Path):
    plan = plan_of(pico_model, "eva")
    begun = start(seed=5)
    ours = Eva().attach(fresh(pico_model), plan, begun)
    config = LoraConfig(
        r=2,
        lora_alpha=4,
        target_modules=[f"bert.{module.name}" for module in plan.modules],
        init_lora_weights="eva",
        eva_config=EvaConfig(rho=2.0, use_label_mask=False),
    )
    theirs = get_peft_model(fresh(pico_model).model, config)
    initialize_lora_eva_weights(theirs, eva_batches(begun, 8), show_progress_bar=False)
    mine, wanted = (
        {name: p for name, p in model.named_parameters() if "lora_" in name}
        for model in (ours, theirs)
    )
    assert mine.keys() == wanted.keys() and len(mine) > 20
    for name, parameter in mine.items():
        torch.testing.assert_close(parameter, wanted[name], msg=name)


@pytest.mark.parametrize(
    "rank", [lambda _: 2, uneven, lambda m: 2 * m.block], ids=["2", "u", "half"]
)
def test_eva_redistributes_the_plans_sum_of_ranks(pico_model: Path, rank: Callable[[Any], int]):
    plan = plan_of(pico_model, "eva", rank)
    model = Eva().attach(fresh(pico_model), plan, start())
    found = Eva().verify(model, plan, ("classifier",))
    assert sum(found.ranks.values()) == sum(plan.ranks.values())
    assert found.ranks != {module.name: module.rank for module in plan.adapted}
    assert found.ranks.keys() <= {module.name for module in plan.adapted}
    each = {m.name: m.parameters // m.rank for m in plan.adapted}
    assert found.parameters == sum(rank * each[name] for name, rank in found.ranks.items())


def test_eva_with_another_sum_of_ranks_is_refused(pico_model: Path):
    model = Eva().attach(fresh(pico_model), plan_of(pico_model, "eva"), start())
    with pytest.raises(RunError, match="sum"):
        Eva().verify(model, plan_of(pico_model, "eva", uneven), ("classifier",))


def test_eva_says_what_it_cannot_do(pico_model: Path):
    with pytest.raises(InputError, match="rank too high for EVA"):
        Eva().attach(fresh(pico_model), plan_of(pico_model, "eva", lambda _: 9), start())
    few = start(train_rows=TRAIN[:1])
    with pytest.raises(InputError, match="too few train rows for EVA"):
        Eva().attach(fresh(pico_model), plan_of(pico_model, "eva", lambda _: 8), few)


def test_eva_looks_at_real_tokens_alone():
    batch = {
        "input_ids": torch.ones(2, 3, dtype=torch.long),
        "attention_mask": torch.tensor([[1, 1, 0], [1, 0, 0]]),
        "labels": torch.tensor([[5, -100, -100], [5, 5, 5]]),
    }
    states = torch.arange(12.0).reshape(2, 3, 2)
    flat = states.reshape(6, 2)
    assert torch.equal(counted_tokens((states,), batch, "encoder.block.0"), flat[[0, 1, 3]])
    assert torch.equal(counted_tokens(states, batch, "decoder.block.0"), flat[[0, 3, 4, 5]])
    assert torch.equal(counted_tokens(flat[:4], batch, "pooler"), flat[:4])


def test_full_trains_everything_and_tied_weights_stay_tied(tmp_path: Path):
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=20, n_positions=8)
    torch.manual_seed(0)
    headed = Headed(GPT2LMHeadModel(config), ())
    plan = make_plan_without_modules()
    model = Full().attach(headed, plan, start())
    found = Full().verify(model, plan, ())
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert (found.ranks, found.head_parameters) == ({}, 0)
    Full().save(model, tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    other = Full().load(Headed(GPT2LMHeadModel(config), ()), tmp_path)
    assert torch.equal(other.get_parameter("lm_head.weight"), model.get_parameter("lm_head.weight"))
    stock = GPT2LMHeadModel.from_pretrained(tmp_path)
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(stock.eval()(ids).logits, model.eval()(ids).logits)


def make_plan_without_modules() -> RankPlan:
    return RankPlan.from_json(
        {
            "schema": 1,
            "strategy": "full",
            "budget": 1,
            "unit": "average_rank",
            "parameters": 0,
            "model_sha256": "",
            "scale": {"policy": "ratio", "value": 1.0},
            "modules": [],
            "tuner": "full",
        }
    )


def went(loss: float | None, step: int = 3) -> Trained:
    empty: Any = None
    return Trained(empty, step, {"loss": loss})


def diverge(*_at: object) -> Trained:
    from adarank.tuning.loop.finite import non_finite_prediction

    raise non_finite_prediction(2, float("nan"))


def chosen_of(rates: list[float], train_at: Any, better: Any = "lower") -> Chosen:
    return choose_rates([Rates(rate) for rate in rates], [7], train_at, "loss", better)


def test_the_best_rate_is_chosen_and_every_try_kept():
    losses = {0.1: 0.9, 0.01: 0.5, 0.001: 0.7}
    chosen = chosen_of(list(losses), lambda rates, _: went(losses[rates.learning_rate]))
    assert chosen.rates == Rates(0.01)
    assert [(one.learning_rate, one.value) for one in chosen.tried] == list(losses.items())
    rates = chosen_of(list(losses), lambda rates, _: went(losses[rates.learning_rate]), "higher")
    assert rates.rates == Rates(0.1)


def test_the_mean_over_seeds_chooses_and_both_rates_are_tried():
    values = {(0.1, 1.0): (0.1, 0.9), (0.1, 8.0): (0.3, 0.4), (0.2, 8.0): (0.2, 0.6)}
    candidates = [Rates(*both) for both in values]

    def at(rates: Rates, seed: int) -> Trained:
        return went(values[rates.learning_rate, rates.rate_ratio][seed - 7])

    chosen = choose_rates(candidates, [7, 8], at, "loss", "lower")
    assert chosen.rates == Rates(0.1, 8.0)
    assert [(t.rates, t.seed) for t in chosen.tried] == [(c, s) for c in candidates for s in (7, 8)]
    assert choose_rates(candidates, [7], at, "loss", "lower").rates == Rates(0.1)


def test_a_candidate_that_diverges_with_one_seed_loses():
    def at(rates: Rates, seed: int) -> Trained:
        return diverge() if (rates.learning_rate, seed) == (1.0, 8) else went(rates.learning_rate)

    assert choose_rates([Rates(1.0), Rates(2.0)], [7, 8], at, "loss", "lower").rates == Rates(2.0)


def test_a_rate_that_diverges_or_is_undefined_loses():
    def at(rates: Rates, _seed: int) -> Trained:
        rate = rates.learning_rate
        return diverge() if rate == 1.0 else went(None if rate == 0.5 else 9.0)

    chosen = chosen_of([1.0, 0.5, 0.1], at)
    assert chosen.rates == Rates(0.1)
    told = chosen.to_json()[0]
    assert told["value"] is None and told["error"] == "step 2: the validation loss is not finite"


def test_a_single_rate_is_not_tried():
    assert chosen_of([0.1], diverge).tried == ()


def test_rates_that_all_diverge_are_listed():
    with pytest.raises(RunError, match=r"1: step 2: .*; 0\.1: step 2") as caught:
        chosen_of([1.0, 0.1], diverge)
    assert not isinstance(caught.value, DivergedError)
