import json
import subprocess
import sys
import warnings
from math import sqrt

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import AutoModel, AutoModelForSequenceClassification, BertConfig

from adarank.allocation.allocate import allocate
from adarank.allocation.plan import RankPlan
from adarank.allocation.planned import PlannedModule
from adarank.allocation.scale import Scale
from adarank.errors import InputError
from tests.tables import BERT, score_table

PICO = [(name, kind, d // 24, out // 24) for name, kind, d, out in BERT]
BLOCKS = 12  # so that layer.1 and layer.11 are both there


def plan_of(budget: float = 4, **options) -> RankPlan:
    return allocate(score_table(PICO, BLOCKS, trials=2), budget=budget, **options)


def bert(head: bool) -> torch.nn.Module:
    config = BertConfig(
        vocab_size=20,
        hidden_size=32,
        num_hidden_layers=BLOCKS,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=16,
    )
    auto = AutoModelForSequenceClassification if head else AutoModel
    return auto.from_config(config)


def adapted(model: torch.nn.Module) -> dict[str, tuple[int, float]]:
    """Rank and factor of every module that PEFT really adapted, by its name in the model."""
    prefix = "base_model.model."
    return {
        name.removeprefix(prefix): (layer.lora_A["default"].out_features, layer.scaling["default"])
        for name, layer in model.named_modules()
        if isinstance(layer, LoraLayer)
    }


def expected(plan: RankPlan, prefix: str = "") -> dict[str, tuple[int, float]]:
    return {
        prefix + name: (rank, plan.scaling[name]) for name, rank in plan.ranks.items() if rank > 0
    }


def lora_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)


POLICIES = [Scale("ratio", 2.0), Scale("rslora", 8.0), Scale("constant", 16.0)]


@pytest.mark.parametrize("scale", POLICIES, ids=lambda scale: scale.policy)
@pytest.mark.parametrize("head", [True, False], ids=["head", "base"])
@pytest.mark.parametrize("told_model", [True, False], ids=["told the model", "portable"])
def test_peft_gives_every_module_exactly_its_rank_and_factor(scale, head, told_model):
    plan, model = plan_of(1.5, min_rank=0, scale=scale), bert(head)
    assert 0 in plan.ranks.values()
    config = plan.lora_config(model if told_model else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        built = get_peft_model(model, config)
    assert adapted(built) == expected(plan, "bert." if head else "")
    assert lora_parameters(built) == plan.parameters
    assert len(set(plan.ranks.values())) >= 4


def test_ranks_survive_saving_and_loading(tmp_path):
    plan, model = plan_of(1.5, min_rank=0), bert(head=True)
    get_peft_model(model, plan.lora_config(model)).save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(bert(head=True), tmp_path)
    assert adapted(loaded) == expected(plan, "bert.")


def test_the_portable_form_survives_json_and_stock_peft():
    plan = plan_of(1.5, min_rank=0)
    form = {
        "rank_pattern": plan.rank_pattern,
        "alpha_pattern": plan.alpha_pattern,
        "target_modules": plan.target_modules,
    }
    built = get_peft_model(bert(head=True), LoraConfig(**json.loads(json.dumps(form))))
    assert adapted(built) == expected(plan, "bert.")


def planned(ranks: dict[str, int], width: int = 2) -> RankPlan:
    modules = tuple(
        PlannedModule(name, 0, "query", rank, float(rank), rank * 2 * width)
        for name, rank in sorted(ranks.items())
    )
    spent = sum(module.parameters for module in modules)
    return RankPlan(1, "uniform", 1.0, "average_rank", spent, "", Scale(), modules)


class Nested(torch.nn.Module):
    """Modules whose names end in one another's: a.q, b.a.q and b.b.a.q."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.a = torch.nn.Module()
        self.a.q = torch.nn.Linear(2, 2)
        if depth:
            self.b = Nested(depth - 1)


@pytest.mark.parametrize(
    "ranks",
    [
        {"a.q": 1, "b.a.q": 2, "b.b.a.q": 3},
        {"a.q": 1, "b.a.q": 0, "b.b.a.q": 2},
        {"a.q": 2, "b.a.q": 0, "b.b.a.q": 0},
        {"a.q": 0, "b.a.q": 1, "b.b.a.q": 0},
    ],
    ids=str,
)
def test_names_that_end_in_one_another_are_kept_apart(ranks):
    model, plan = Nested(), planned(ranks)
    assert adapted(get_peft_model(model, plan.lora_config(model))) == expected(plan)
    if all(ranks.values()):
        assert adapted(get_peft_model(Nested(), plan.lora_config())) == expected(plan)


def test_a_lost_pattern_stands_out_by_its_rank():
    plan, model = plan_of(), bert(head=False)
    config = plan.lora_config(model)
    lost = next(key for key, rank in config.rank_pattern.items() if rank != config.r)
    config.rank_pattern.pop(lost)
    assert adapted(get_peft_model(model, config)) != expected(plan)


@pytest.mark.parametrize("scale", POLICIES, ids=lambda scale: scale.policy)
def test_readers_of_r_and_alpha_alone_err_least(scale):
    plan = plan_of(scale=scale)
    config = plan.lora_config()
    right, ranks = plan.scaling, {name: rank for name, rank in plan.ranks.items() if rank}
    assert config.r == plan.max_rank and len(set(ranks.values())) > 2

    def error(alpha):  # of a program that takes one scale for all
        one = alpha / (config.r**0.5 if config.use_rslora else config.r)
        return sum((one - right[name]) ** 2 for name in ranks)

    alpha = config.lora_alpha
    if scale.policy == "ratio":
        assert error(alpha) == pytest.approx(0, abs=1e-12)
    elif scale.policy == "constant":
        assert {name: alpha / rank for name, rank in ranks.items()} == pytest.approx(right)
    else:
        assert error(alpha) < min(error(0.9 * alpha), error(1.1 * alpha), error(scale.value))


@pytest.mark.parametrize("scale", POLICIES, ids=lambda scale: scale.policy)
def test_equal_ranks_are_right_for_readers_of_r_alone(scale):
    config = plan_of(3, strategy="uniform", scale=scale).lora_config()
    bare = LoraConfig(
        r=config.r,
        lora_alpha=config.lora_alpha,
        target_modules=config.target_modules,
        use_rslora=config.use_rslora,
    )
    built = adapted(get_peft_model(bert(head=False), bare))
    assert built == expected(plan_of(3, strategy="uniform", scale=scale))


def test_other_options_pass_through_and_the_plans_own_do_not():
    config = plan_of().lora_config(lora_dropout=0.25, task_type="SEQ_CLS")
    assert (config.lora_dropout, config.task_type, config.bias) == (0.25, "SEQ_CLS", "none")
    with pytest.raises(InputError, match="r, target_modules"):
        plan_of().lora_config(r=8, target_modules=["query"])


def test_modules_missing_from_the_model_are_listed():
    plan, model = plan_of(), bert(head=True)
    del model.bert.encoder.layer[11]
    with pytest.raises(InputError, match="6 of 72 planned modules are not in the model") as error:
        plan.lora_config(model)
    assert "bert.encoder.layer.11.attention.self.query" in str(error.value)


def test_a_module_of_another_shape_is_refused():
    plan, model = plan_of(strategy="uniform"), bert(head=False)
    model.encoder.layer[3].output.dense = torch.nn.Linear(64, 32)
    with pytest.raises(InputError, match="another shape") as error:
        plan.lora_config(model)
    assert "encoder.layer.3.output.dense" in str(error.value)
    assert len(error.value.problems) == 1


def test_a_plan_of_zeros_is_refused():
    with pytest.raises(InputError, match="every module has rank 0"):
        planned({"q": 0, "k": 0}).lora_config()


def test_names_in_a_model_with_and_without_a_head():
    plan = plan_of()
    names = plan.names_in(bert(head=True))
    assert names["encoder.layer.1.output.dense"] == "bert.encoder.layer.1.output.dense"
    assert all(name == full for name, full in plan.names_in(bert(head=False)).items())


# Scale.


def test_scale_policies_by_hand():
    ratio, rslora, constant = Scale("ratio", 2), Scale("rslora", 8), Scale("constant", 8)
    assert [ratio.alpha(r) for r in (0, 1, 4)] == [0, 2, 8]
    assert [ratio.factor(r) for r in (1, 4)] == [2, 2]
    assert [rslora.factor(r) for r in (1, 4, 9)] == [8, 4, 8 / sqrt(9)]
    assert [constant.factor(r) for r in (1, 4)] == [8, 2]


@pytest.mark.parametrize(("policy", "value"), [("fixed", 1.0), ("ratio", 0.0), ("ratio", np.nan)])
def test_a_scale_that_is_none_is_refused(policy, value):
    with pytest.raises(InputError, match="no such scale"):
        Scale(policy, value)


# JSON.


def test_json_round_trip():
    plan = plan_of(0.5, min_rank=0, scale=Scale("rslora", 0.3), model_sha256="ab12")
    form = json.loads(json.dumps(plan.to_json()))
    assert RankPlan.from_json(form) == plan
    assert form["unit"] == "average_rank"
    assert form["scale"] == {"policy": "rslora", "value": 0.3}
    assert form["modules"] == sorted(form["modules"], key=lambda m: (m["block"], m["name"]))
    assert form["parameters"] == sum(module["parameters"] for module in form["modules"])


def broken(**changes) -> dict:
    form = plan_of().to_json()
    module = {key: changes.pop(key) for key in list(changes) if key in form["modules"][0]}
    form["modules"][0] |= module
    return form | changes


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"schema": 2}, "plan.schema"),
        ({"unit": "parameters"}, "plan.unit"),
        ({"budget": "4"}, "plan.budget"),
        ({"budget": float("nan")}, "plan.budget"),
        ({"note": 1}, "plan.note"),
        ({"scale": {"policy": "fixed", "value": 1.0}}, "plan.scale.policy"),
        ({"rank": 2.5}, "plan.modules.0.rank"),
        ({"rank": "2"}, "plan.modules.0.rank"),
        ({"rank": -1}, "encoder.layer.0"),
        ({"alpha": 99.0}, "alpha is not the scale's"),
        ({"block": 5}, "sorted"),
        ({"parameters": 1}, "parameters"),
    ],
    ids=str,
)
def test_json_is_read_strictly(changes, where):
    with pytest.raises(InputError) as error:
        RankPlan.from_json(broken(**changes))
    assert where in str(error.value)


@pytest.mark.parametrize("key", [key for key in plan_of().to_json() if key != "tuner"])
def test_json_without_a_key_is_refused(key):
    form = plan_of().to_json()
    del form[key]
    with pytest.raises(InputError, match=key):
        RankPlan.from_json(form)


# Allocate.


def test_uniform_at_a_whole_budget_is_that_rank_everywhere():
    plan = plan_of(5, strategy="uniform")
    assert set(plan.ranks.values()) == {5}
    assert plan.parameters == 5 * BLOCKS * (4 * 64 + 2 * 160)


@pytest.mark.parametrize("strategy", ["uniform", "disagreement", "reversed", "permuted"])
@pytest.mark.parametrize("budget", [0.5, 1, 4, 7.25])
def test_every_strategy_costs_the_same(strategy, budget):
    plan = plan_of(budget, strategy=strategy, min_rank=0)
    assert plan.parameters == budget * BLOCKS * (4 * 64 + 2 * 160)
    assert plan.max_rank == max(plan.ranks.values())


def test_a_plan_does_not_depend_on_the_order_of_the_table():
    scores = score_table(PICO, BLOCKS, trials=3)
    shuffled = scores.sample(frac=1, random_state=4)
    for strategy in ("uniform", "disagreement", "permuted"):
        for budget in (0.3, 4):
            options = {"budget": budget, "strategy": strategy, "min_rank": 0, "seed": 1}
            assert allocate(scores, **options) == allocate(shuffled, **options)


@pytest.mark.parametrize("budget", [0.1, 0.25, 0.5, 0.75, 1.5])
@pytest.mark.parametrize("rounding", ["spend_all", "hamilton"])
def test_a_fractional_uniform_budget_is_spread_over_kinds_and_depth(budget, rounding):
    plan = plan_of(budget, strategy="uniform", min_rank=0, rounding=rounding)
    frame = pd.DataFrame(plan.to_json()["modules"])
    assert frame["rank"].max() - frame["rank"].min() == 1
    assert frame["parameters"].sum() > (budget - 0.03) * BLOCKS * (4 * 64 + 2 * 160)
    frame["third"] = frame["block"] // 4
    for group in ("kind", "third", "block"):
        sums = frame.groupby(group)["rank"].sum()
        due = budget * frame.groupby(group)["rank"].size()
        assert (sums - due).abs().max() < 2, group


def test_scores_decide_the_ranks():
    scores = np.ones((72, 1))
    scores[::6] = 5.0
    plan = allocate(score_table(PICO, BLOCKS, scores), budget=4)
    frame = pd.DataFrame(plan.to_json()["modules"])
    means = frame.groupby("kind")["rank"].mean()
    # Four kinds of cost 64 and two of 160: x (64 (5 + 3) + 160 * 2) = 4 (64 * 4 + 160 * 2)
    x = 4 * 576 / (64 * 8 + 320)
    assert means["query"] == pytest.approx(5 * x, abs=0.5)
    assert means.drop("query").to_numpy() == pytest.approx(np.full(5, x), abs=0.5)


def test_bounds_are_kept_and_no_rank_exceeds_a_modules_smaller_side():
    scores = np.ones((72, 1))
    scores[0] = 1e6
    assert allocate(score_table(PICO, BLOCKS, scores), budget=4).max_rank == 32
    scores[:36] = 1e6
    plan = allocate(score_table(PICO, BLOCKS, scores), budget=4, min_rank=2, max_rank=6)
    assert [module.rank for module in plan.modules] == [6] * 36 + [2] * 36


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": 0.5, "min_rank": 1}, ["average rank 1 to 32", "min_rank"]),
        ({"permutations": 0}, ["permutations", "1 or more"]),
        ({"budget": 33}, ["average rank 1 to 32", "max_rank"]),
        ({"budget": "four"}, ["no such budget", "an average rank above 0"]),
        ({"min_rank": -1}, ["min_rank"]),
        ({"min_rank": 5, "max_rank": 3}, ["max_rank", "at least min_rank (5)"]),
        ({"min_rank": 33}, ["min_rank", "at most 32"]),
        ({"max_rank": 0}, ["max_rank"]),
        ({"strategy": "none"}, ["uniform"]),
        ({"rounding": "none"}, ["hamilton"]),
        ({"budget": 0.001, "min_rank": 0}, ["no module gets a rank", "at least 0.00926"]),
        ({"budget": 0.5, "min_rank": 0, "strategy": "uniform", "rounding": "floor"}, ["spend_all"]),
    ],
    ids=str,
)
def test_what_cannot_be_allocated_is_refused(options, words):
    with pytest.raises(InputError) as error:
        plan_of(**({"budget": 4} | options))
    assert all(word in str(error.value) for word in words)


def test_the_smallest_budget_that_the_error_names_is_enough():
    plan = plan_of(64 / (BLOCKS * 576), min_rank=0)
    assert sum(plan.ranks.values()) == 1


def test_allocating_needs_neither_torch_nor_peft():
    code = (
        "import sys, adarank.allocation.allocate; "
        "sys.exit(bool({'torch', 'peft', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Draws of a control with random ranks.


def bytes_of(plan: RankPlan) -> str:
    return json.dumps(plan.to_json())


def test_seeds_train_different_draws_of_a_permuted_plan():
    plan = plan_of(strategy="permuted", permutations=5)
    ranks = [tuple(plan.for_seed(seed).ranks.items()) for seed in range(7)]
    assert plan.draws == 5 and len(set(ranks)) == 5
    assert ranks[5:] == ranks[:2]  # seed modulo the number of draws
    weighted = plan_of(strategy="disagreement")
    for seed in range(5):
        drawn = plan.for_seed(seed)
        assert drawn.variants == () and drawn.schema == 1
        assert drawn.parameters == weighted.parameters
        assert drawn.parameters == sum(m.parameters for m in drawn.modules)


def test_the_first_draw_is_the_plan_of_one_draw():
    alone = plan_of(strategy="permuted", seed=3)
    first = plan_of(strategy="permuted", seed=3, permutations=4).for_seed(0)
    assert (alone.draws, alone.schema) == (1, 1)
    assert bytes_of(first) == bytes_of(alone)
    assert alone.for_seed(17) is alone


def test_draws_depend_on_the_seed_of_the_control():
    plans = [plan_of(strategy="permuted", seed=s, permutations=3) for s in range(3)]
    assert len({draw.modules for p in plans for draw in map(p.for_seed, range(3))}) == 9


@pytest.mark.parametrize("strategy", ["uniform", "disagreement", "reversed", "permuted_uniform"])
def test_plans_without_random_ranks_have_one_draw_and_the_same_bytes(strategy):
    plan, usual = plan_of(strategy=strategy, permutations=5), plan_of(strategy=strategy)
    assert bytes_of(plan) == bytes_of(usual)
    assert plan.to_json()["schema"] == 1
    assert not {"variants", "note"} & plan.to_json().keys()


def test_draws_survive_json():
    plan = plan_of(1.5, strategy="permuted", permutations=3, min_rank=0)
    form = json.loads(bytes_of(plan))
    assert form["schema"] == 2 and len(form["variants"]) == 2
    assert RankPlan.from_json(form) == plan


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: f | {"schema": 1}, "plan.schema"),
        (lambda f: f | {"variants": []}, "plan.schema"),
        (lambda f: f | {"variants": [f["variants"][0][:-1]]}, "not the modules of the plan"),
        (lambda f: f | {"variants": [f["variants"][0][::-1]]}, "sorted by block"),
        (lambda f: f["variants"][0][0].update(alpha=7.5) or f, "plan.variants.0: encoder.layer.0"),
    ],
)
def test_draws_that_contradict_the_plan_are_refused(spoil, words):
    form = json.loads(bytes_of(plan_of(strategy="permuted", permutations=2)))
    with pytest.raises(InputError) as error:
        RankPlan.from_json(spoil(form))
    assert words in str(error.value)


def test_peft_builds_the_draw_of_a_seed():
    plan = plan_of(strategy="permuted", permutations=2).for_seed(1)
    model = bert(head=False)
    assert adapted(get_peft_model(model, plan.lora_config(model))) == expected(plan)


# The least rank.


@pytest.mark.parametrize(("budget", "least"), [(0.5, 0), (1, 0), (1.99, 0), (2, 1), (4, 1)])
def test_the_least_rank_is_1_where_half_of_the_budget_stays_free(budget, least):
    assert bytes_of(plan_of(budget)) == bytes_of(plan_of(budget, min_rank=least))
    assert (0 in plan_of(budget).ranks.values()) == (least == 0)


def test_a_plan_that_can_only_be_uniform_says_so():
    plan = plan_of(1, min_rank=1)
    assert set(plan.ranks.values()) == {1}
    assert "leaves nothing to decide" in plan.note and "min_rank: 0" in plan.note
    form = json.loads(bytes_of(plan))
    assert form["schema"] == 2 and RankPlan.from_json(form) == plan


@pytest.mark.parametrize("budget", [1 + 64 / (BLOCKS * 576), 2])
def test_a_plan_that_can_differ_has_no_note(budget):
    assert plan_of(budget, min_rank=1).note == ""


def test_uniform_needs_no_note():
    assert plan_of(1, min_rank=1, strategy="uniform").note == ""


def test_start_and_rate_ratio_travel_in_the_plan_and_are_checked():
    plan = plan_of(strategy="rate_ratio_8_orthogonal_start_uniform")
    form = json.loads(json.dumps(plan.to_json()))
    assert (form["start"], form["rate_ratio"]) == ("orthogonal", 8.0)
    assert RankPlan.from_json(form) == plan
    assert not {"start", "rate_ratio"} & plan_of().to_json().keys()
    with pytest.raises(InputError) as raised:
        RankPlan.from_json(form | {"tuner": "eva", "rate_ratio": -1.0})
    text = str(raised.value)
    assert "eva decides itself how its weights begin" in text
    assert "no ratio of learning rates" in text
