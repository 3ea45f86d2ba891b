"""Rank by rank to the highest value: against a plain loop, and its bounds."""

import numpy as np
import pytest

from adarank.allocation.allocate import allocate
from adarank.errors import InputError
from tests.tables import BERT, score_table, with_components

N_COMPONENTS = 40


def spectra(n_blocks: int = 2, seed: int = 0):
    table = score_table(BERT, n_blocks)
    draws = np.random.default_rng(seed).gamma(1.0, size=(len(table), N_COMPONENTS))
    return with_components(table, np.sort(draws, axis=1)[:, ::-1].tolist())


def by_hand(scores, budget: int, *, per_parameter: bool, least: int = 0) -> dict[str, int]:
    """Deal one rank at a time to the module whose next component is worth most."""
    values = {name: part["score"].tolist() for name, part in scores.groupby("module")}
    costs = scores.drop_duplicates("module").set_index("module")["parameters_per_rank"].to_dict()
    ranks = dict.fromkeys(values, least)
    left = (budget - least) * sum(costs.values())
    while True:
        worth = {n: values[n][r] / (costs[n] if per_parameter else 1) for n, r in ranks.items()}
        best = max(worth, key=lambda name: (worth[name], -list(worth).index(name)))
        if costs[best] > left:
            return ranks
        ranks[best] += 1
        left -= costs[best]


@pytest.mark.parametrize(
    ("name", "per_parameter"), [("gradient_spectrum", True), ("activation_variance", False)]
)
@pytest.mark.parametrize("least", [0, 1])
def test_it_is_the_plain_greedy_deal_and_spends_the_budget(name, per_parameter, least):
    scores = spectra()
    plan = allocate(scores, budget=4, strategy=name, min_rank=least)
    costs = scores.drop_duplicates("module")["parameters_per_rank"]
    assert plan.parameters == 4 * costs.sum()
    dealt = by_hand(scores, 4, per_parameter=per_parameter, least=least)
    # The last rank of the deal is a fraction, which rounding may place elsewhere: 2 ranks at most
    # of the cheap modules make up for one of a dear one.
    moved = sum(abs(plan.ranks[module] - rank) for module, rank in dealt.items())
    assert moved <= 3


def test_a_module_with_no_gain_gets_nothing():
    table = score_table(BERT[:3], 1)
    scores = with_components(table, [[9.0, 8.0, 7.0, 6.0], [0.0] * 4, [5.0, 1.0, 0.5, 0.2]])
    plan = allocate(scores, budget=5 / 3, strategy="gradient_spectrum", min_rank=0, max_rank=4)
    kinds = {module.kind: module.rank for module in plan.modules}
    assert kinds == {"query": 4, "key": 0, "value": 1}


def test_bounds_hold():
    plan = allocate(spectra(), budget=4, strategy="gradient_spectrum", min_rank=2, max_rank=6)
    assert set(plan.ranks.values()) <= {2, 3, 4, 5, 6}


def test_controls_of_a_spectrum_move_its_ranks():
    scores = spectra()
    usual, turned = (
        allocate(scores, budget=4, strategy=name, min_rank=0)
        for name in ("gradient_spectrum", "reversed_gradient_spectrum")
    )
    assert usual.parameters == turned.parameters
    assert usual.ranks != turned.ranks


def test_too_few_components_say_what_to_raise():
    with pytest.raises(InputError, match="more ranks than the signal has values") as error:
        allocate(spectra(), budget=N_COMPONENTS + 1, strategy="gradient_spectrum")
    assert "signal.components" in str(error.value)


def test_a_signal_of_one_value_a_module_is_refused():
    with pytest.raises(InputError, match="one value per module"):
        allocate(score_table(BERT, 2), budget=4, strategy="gradient_spectrum")


def test_equal_spectra_prefer_nothing():
    table = score_table(BERT[:3], 1)
    with pytest.raises(InputError, match="the same for every module"):
        allocate(with_components(table, [[2.0, 1.0]] * 3), budget=1, strategy="gradient_spectrum")
