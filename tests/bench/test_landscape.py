"""The landscape's plans and tables, without training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adarank.allocation.surface import fit_surface
from adarank.errors import InputError
from adarank.models.modules import Module
from bench.landscape import beyond_uniform, ranks_of
from bench.landscape_runs import check_same, measured_plan, plan_of, random_plan
from bench.landscape_signals import of_signals
from bench.late_plans import verdict

MODULES = [
    Module(f"{block}.{kind}", block, kind, 8, 8)
    for block in range(3)
    for kind in ("query", "value", "up", "down")
]


def test_random_plans_spend_uniforms_parameters_within_the_highest_rank() -> None:
    uniform = plan_of(MODULES, 2)
    drawn = [random_plan(MODULES, number, 2, 5) for number in range(20)]
    assert {plan.parameters for plan in drawn} == {uniform.parameters}
    assert max(plan.max_rank for plan in drawn) == 5
    assert len({tuple(plan.ranks.values()) for plan in drawn}) == 20
    assert drawn[3] == random_plan(MODULES, 3, 2, 5)


def test_losses_are_held_against_uniforms_of_the_same_seed() -> None:
    uniform = [{"seed": s, "test": {"loss": 1.0 + s}} for s in (0, 1)]
    runs = [{"seed": s, "test": {"loss": 2.0}} for s in (1, 0, 1)]
    assert beyond_uniform(uniform, runs, "test").tolist() == [0.0, 1.0, 0.0]


def test_a_signal_that_is_the_surface_itself_finds_all_of_it() -> None:
    runs = [{"ranks": random_plan(MODULES, n, 2, 5).ranks} for n in range(40)]
    ranks = ranks_of(runs)
    names = sorted(ranks.columns)
    worth = np.arange(1.0, 13.0) / 100
    features = np.sqrt(ranks[names].to_numpy(dtype=float))
    losses = 2.0 - features @ worth
    surface = fit_surface(ranks, losses)
    costs = np.full(12, 16.0)
    shares = {"same": worth**2 / (worth**2).sum(), "opposite": worth[::-1] / worth.sum()}
    each = pd.DataFrame(ranks[names]).to_numpy(dtype=float)
    table = of_signals(shares, surface, surface.weights[None], costs, each, losses)
    found = table.set_index("strategy")
    same, opposite = (found.loc[name].to_dict() for name in ("same", "opposite"))
    assert same["per_parameter"] == pytest.approx(1) and same["orders_plans"] == pytest.approx(1)
    assert same["lowest_found"] == same["highest_found"] == same["third"] == 4
    assert opposite["per_parameter"] == pytest.approx(-1) and opposite["highest_found"] == 0
    best = measured_plan(MODULES, surface, 2, "measured", 5).ranks
    assert best[names[-1]] > best[names[0]]


def test_runs_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    check_same(tmp_path, {"model": "a"})
    check_same(tmp_path, {"model": "a"})
    with pytest.raises(InputError, match="another model"):
        check_same(tmp_path, {"model": "b"})


def test_equivalence_is_said_only_where_it_is_shown() -> None:
    said = verdict([0.500, 0.601, 0.700], [0.500, 0.600, 0.701], 0.005, "accuracy")
    assert ". Equivalent within 0.005" in said
    assert "Not shown" in verdict([0.5, 0.6, 0.7], [0.6, 0.6, 0.5], 0.005, "accuracy")
