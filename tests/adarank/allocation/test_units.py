"""Budgets in operations and in memory: never overspent, as near as single ranks allow, stated."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adarank.allocation.allocate import allocate
from adarank.allocation.cost import training_cost
from adarank.allocation.plan import RankPlan
from adarank.allocation.units import BYTES_PER_PARAMETER, Step, price
from adarank.errors import InputError
from adarank.models.modules import Module
from tests.tables import BERT, llama, score_table

UNITS = ("training_flops", "memory")
STEP = Step(rows=4, tokens=10, last_row=True)


def modules_of(table) -> list[Module]:
    rows = table.drop_duplicates("module").sort_values("module").to_dict("records")
    return [Module(r["module"], r["block"], r["kind"], r["d_in"], r["d_out"]) for r in rows]


@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    budget=st.sampled_from([0.3, 0.5, 1, 1.5, 4]),
    strategy=st.sampled_from(["disagreement", "reversed", "last_2_blocks", "mlp_only", "priced"]),
    block=st.sampled_from([BERT, llama(64, 160, 32)]),
)
def test_nothing_is_overspent_and_no_module_has_room_for_a_rank_more(
    unit, seed, budget, strategy, block
):
    table = score_table(block, 4, seed=seed)
    plan = allocate(table, budget=budget, strategy=strategy, unit=unit, step=STEP)
    modules = modules_of(table)
    uniform = {module.name: budget for module in modules}
    limit = price(unit, modules, uniform, STEP)
    assert plan.cost is not None
    assert (plan.cost.unit, plan.cost.budget) == (unit, limit)
    assert plan.cost.spent == (price(unit, modules, plan.ranks, STEP),)
    assert plan.cost.spent[0] <= limit
    chosen = {module.name for module in plan.adapted}
    everywhere = strategy in ("disagreement", "reversed")
    for module in modules:
        full = plan.ranks[module.name] == min(module.d_in, module.d_out)
        if full or not (everywhere or module.name in chosen):
            continue
        more = plan.ranks | {module.name: plan.ranks[module.name] + 1}
        assert price(unit, modules, more, STEP) > limit


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("budget", [1, 3])
def test_uniform_spends_exactly_its_own_cost(unit, budget):
    plan = allocate(score_table(BERT, 3), budget=budget, strategy="uniform", unit=unit)
    assert set(plan.ranks.values()) == {budget}
    assert plan.cost and plan.cost.spent == (plan.cost.budget,)


def test_prices_in_closed_form():
    modules = modules_of(score_table(BERT, 2))
    ranks = {module.name: 2 for module in modules}
    parameters = 2 * 2 * 13824
    counted = training_cost(modules, ranks, 10, last_row=True)
    assert price("parameters", modules, ranks, STEP) == parameters
    assert price("training_flops", modules, ranks, STEP) == 4 * counted.flops
    memory = 4 * counted.kept_bytes + BYTES_PER_PARAMETER * parameters
    assert price("memory", modules, ranks, STEP) == memory


def test_late_blocks_get_more_parameters_for_the_same_operations():
    table = score_table(BERT, 6)
    late, uniform = (
        allocate(table, budget=2, strategy=s, unit="training_flops")
        for s in ("last_2_blocks", "uniform")
    )
    assert late.parameters > 5 * uniform.parameters
    assert {module.block for module in late.adapted} == {4, 5}


def test_parameters_are_the_default_and_state_no_cost():
    table = score_table(BERT, 3)
    plan, same = allocate(table, budget=2), allocate(table, budget=2, unit="parameters", step=STEP)
    assert plan == same and plan.cost is None
    assert "cost" not in plan.to_json() and plan.to_json()["unit"] == "average_rank"


def test_every_draw_has_its_cost_and_the_plan_survives_json():
    table = score_table(BERT, 3)
    plan = allocate(table, budget=2, strategy="permuted", permutations=3, unit="memory", step=STEP)
    assert plan.cost and len(plan.cost.spent) == plan.draws == 3
    assert RankPlan.from_json(plan.to_json()) == plan
    modules = modules_of(table)
    for seed in range(3):
        drawn = plan.for_seed(seed)
        assert drawn.cost and drawn.cost.spent == (price("memory", modules, drawn.ranks, STEP),)


def test_a_cost_of_another_unit_or_number_of_draws_contradicts_the_plan():
    plan = allocate(score_table(BERT, 3), budget=2, unit="memory")
    assert plan.cost
    for changed in ({"unit": "average_rank"}, {"cost": replace(plan.cost, spent=(1.0, 2.0))}):
        with pytest.raises(InputError, match="not the cost of this plan"):
            replace(plan, **changed)


def test_floor_takes_no_rank_beyond_the_proportions():
    down, filled = (
        allocate(
            score_table(BERT, 3), budget=1.5, strategy="uniform", unit="memory", rounding=rounding
        )
        for rounding in ("floor", "spend_all")
    )
    assert set(down.ranks.values()) == {1} and set(filled.ranks.values()) == {1, 2}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (score_table(BERT[:4], 2), "attention and feed-forward"),
        (score_table([*BERT, ("cross.query", "cross_query", 8, 8)], 2), "reads an encoder"),
    ],
)
def test_costs_of_a_part_of_the_modules_are_refused(table, words):
    with pytest.raises(InputError, match=words):
        allocate(table, budget=2, unit="memory")


def test_least_ranks_above_the_budget_are_out_of_reach():
    with pytest.raises(InputError, match="which the least ranks cost"):
        allocate(score_table(BERT, 2), budget=1, min_rank=2, unit="training_flops")


def test_all_that_can_be_bought_is_bought_where_the_budget_is_not_spent():
    plan = allocate(
        score_table(BERT, 6), budget=64, strategy="last_1_blocks", max_rank=8, unit="memory"
    )
    assert {module.rank for module in plan.adapted} == {8}
    assert plan.cost and np.all(np.array(plan.cost.spent) < plan.cost.budget)


def test_biases_and_norms_are_refused_beside_a_budget_in_another_unit():
    with pytest.raises(InputError, match="paid for in parameters alone"):
        allocate({}, budget=2, strategy="bias_norm_uniform", unit="memory")


@pytest.mark.parametrize("strategy", ["literal_linear_decay", "full"])
def test_ranks_that_are_not_held_to_a_unit_state_no_cost(strategy):
    plan = allocate(score_table(BERT, 3), budget=4, strategy=strategy, unit="memory", step=STEP)
    assert (plan.cost, plan.unit) == (None, "average_rank")
