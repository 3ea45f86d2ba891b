import itertools
import tracemalloc
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adarank.allocation.rounding.apportion import ROUNDINGS, apportion, budget_parameters
from adarank.allocation.rounding.classic import floors, hamilton
from adarank.allocation.rounding.quota import Case
from adarank.allocation.rounding.spend_all import GRID, spend_all
from adarank.errors import InputError

QUICK = settings(derandomize=True, deadline=None, max_examples=60)
FAMILIES = [[2, 5], [9, 16, 36], [6, 10, 15], [600, 1000, 1501], [7, 11, 13], [3], [1, 50]]
WEIGHTS = st.one_of(
    st.sampled_from([0.0, 1.0, 1.0, 2.0]), st.floats(1e-3, 1e3), st.floats(0.999, 1.001)
)


@st.composite
def cases(draw, n_modules: int = 5, max_room: int = 4) -> Case:
    """A case with costs that share a divisor or none, and any budget within reach."""
    family = draw(st.sampled_from(FAMILIES))
    n = draw(st.integers(1, n_modules))
    many = {"min_size": n, "max_size": n}
    weights = draw(st.lists(WEIGHTS, **many))
    assume(any(weights))
    costs = draw(st.lists(st.sampled_from(family), **many))
    lower = draw(st.lists(st.integers(0, 2), **many))
    upper = [low + draw(st.integers(0, max_room)) for low in lower]
    least, most = np.dot(costs, lower), np.dot(costs, upper)
    budget = draw(st.fractions(int(least), int(most), max_denominator=4))
    fractions = tuple(Fraction(weight) for weight in weights)
    return Case(fractions, tuple(costs), tuple(lower), tuple(upper), budget)


def distance(case: Case, ranks) -> Fraction:
    terms = zip(case.costs, ranks, case.quotas, strict=True)
    return sum((c * (r - q) ** 2 for c, r, q in terms), Fraction(0))


def within_bounds(case: Case, ranks) -> bool:
    return all(lo <= r <= hi for lo, r, hi in zip(case.lower, ranks, case.upper, strict=True))


# Quotas.


@QUICK
@given(cases())
def test_quotas_cost_exactly_the_budget_within_bounds(case):
    assert sum(c * q for c, q in zip(case.costs, case.quotas, strict=True)) == case.budget
    assert within_bounds(case, case.quotas)


@QUICK
@given(cases())
def test_quotas_not_at_a_bound_are_proportional_to_weights(case):
    rows = list(zip(case.weights, case.lower, case.quotas, case.upper, strict=True))
    free = [(w, q) for w, low, q, high in rows if low < q < high and w]
    assert len({q / w for w, q in free}) <= 1
    for level in (q / w for w, q in free[:1]):
        assert all(q == min(max(level * w, low), high) for w, low, q, high in rows if w)


def test_modules_beyond_a_bound_are_held_there_and_the_rest_rescaled():
    # 10 to share as 1:2:7; the last may have 4, the first must have 2: 4 are left.
    weights = tuple(Fraction(w) for w in (1, 2, 7))
    case = Case(weights, (1, 1, 1), (2, 0, 0), (9, 9, 4), Fraction(10))
    assert case.quotas == (2, 4, 4)


def test_zero_weights_share_evenly_what_the_others_cannot_take():
    weights = tuple(Fraction(w) for w in (5, 0, 0))
    case = Case(weights, (1, 1, 1), (0, 0, 0), (3, 9, 9), Fraction(8))
    assert case.quotas == (3, Fraction(5, 2), Fraction(5, 2))


# Spending all.


def brute_force(case: Case) -> tuple[int, Fraction]:
    """The most that can be spent, and the least distance at that spend, by trying all."""
    choices = itertools.product(
        *(range(lo, hi + 1) for lo, hi in zip(case.lower, case.upper, strict=True))
    )
    affordable = [ranks for ranks in choices if case.spend(ranks) <= case.budget]
    most = max(case.spend(ranks) for ranks in affordable)
    return most, min(distance(case, ranks) for ranks in affordable if case.spend(ranks) == most)


@settings(QUICK, max_examples=150)
@given(cases())
def test_spend_all_equals_brute_force(case):
    ranks = spend_all(case)
    most, least = brute_force(case)
    assert within_bounds(case, ranks)
    assert case.spend(ranks) == most
    # Quotas are taken to 1 / (2 GRID), and a rank is at most 5 away from its quota.
    assert distance(case, ranks) <= least + Fraction(sum(case.costs) * 10, GRID)


def price(cost: int, quota: Fraction, rank: int) -> int:
    """A module's distance on the grid that quotas are taken to, as a whole number."""
    return cost * (2 * GRID * rank - round(2 * GRID * quota)) ** 2


def total_price(case: Case, ranks) -> int:
    return sum(map(price, case.costs, case.quotas, ranks))


def knapsack(case: Case) -> tuple[int, int]:
    """What brute force finds, from a plain table over all spends."""
    budget = floor(case.budget)
    never = np.iinfo(np.int64).max // 2
    best = np.full(budget + 1, never)
    best[0] = 0
    for index, cost in enumerate(case.costs):
        grown = np.full(budget + 1, never)
        for rank in range(case.lower[index], case.upper[index] + 1):
            shift = rank * cost
            if shift <= budget:
                moved = best[: budget + 1 - shift] + price(cost, case.quotas[index], rank)
                grown[shift:] = np.minimum(grown[shift:], moved)
        best = np.minimum(grown, never)
    most = int(np.flatnonzero(best < never).max())
    return most, int(best[most])


def random_case(family: list[int], n_modules: int, seed: int) -> Case:
    generator = np.random.default_rng(seed)
    costs = generator.choice(family, size=n_modules)
    weights = tuple(Fraction(float(w)) for w in generator.exponential(size=n_modules))
    budget = Fraction(int(generator.integers(2, 6) * costs.sum() - generator.integers(9)))
    zeros, tops = (0,) * n_modules, (16,) * n_modules
    return Case(weights, tuple(costs.tolist()), zeros, tops, budget)


@pytest.mark.parametrize("family", [[101, 149, 233], [2, 5, 17, 40], [1, 9, 200], [97, 1009]])
@pytest.mark.parametrize("seed", range(5))
def test_spend_all_equals_a_plain_knapsack_on_larger_cases(family, seed):
    case = random_case(family, 14, seed)
    ranks = spend_all(case)
    assert (case.spend(ranks), total_price(case, ranks)) == knapsack(case)


@pytest.mark.parametrize("beyond", [-7, 5, 8, 12])
def test_spend_all_prefers_many_cheap_exchanges_to_one_dear_step(beyond):
    """One module could spend what is left alone, at a price; many small exchanges do for less."""
    costs = np.array([100] * 20 + [99] * 20 + [1])
    noise = np.random.default_rng(0).random(41)
    weights = tuple(Fraction(float(w)) for w in 1 + 1e-3 * noise)
    bounds = (3,) * 40 + (0,), (4,) * 40 + (16,)
    budget = Fraction(int(3.5 * costs.sum()) + beyond)
    case = Case(weights, tuple(costs.tolist()), *bounds, budget)
    ranks = spend_all(case)
    assert (case.spend(ranks), total_price(case, ranks)) == knapsack(case)


def test_equal_claims_go_to_the_higher_weight():
    """Quotas 0.5 and 1.5: the one rank that is left is as far from either."""
    for turns in ([0, 1], [1, 0]):
        ranks = solve(np.array([1.0, 3.0]), np.array([1, 1]), 1, "spend_all", turns=np.array(turns))
        assert ranks.tolist() == [0, 2]


def test_spend_all_is_symmetric_and_does_not_favour_a_size():
    # Every quota is 2.5; a quarter of the parameters is one large module or four small ones.
    costs = (4, 1, 1, 1, 1)
    case = Case((Fraction(1),) * 5, costs, (0,) * 5, (9,) * 5, Fraction(20))
    assert case.quotas == (Fraction(5, 2),) * 5
    ranks = spend_all(case)
    assert case.spend(ranks) == 20
    assert distance(case, ranks) == 8 * Fraction(1, 4)


def test_what_cannot_be_spent_is_left_over():
    """No sum of 6s and 10s is 1, 2, 3 or 15; upper bounds leave 20 out of reach as well."""
    weights = (Fraction(1), Fraction(1))
    for budget, most in [(3, 0), (15, 12), (17, 16), (21, 18), (28, 28)]:
        case = Case(weights, (6, 10), (0, 0), (3, 1), Fraction(budget))
        assert case.spend(spend_all(case)) == most


def test_a_window_smaller_than_d_squared_still_spends_a_coprime_budget():
    case = random_case([4001, 4003, 30011], 20, seed=3)
    assert case.spend(spend_all(case)) == floor(case.budget)


def test_a_module_at_its_bound_is_no_candidate_for_a_rank_too_small_for_the_grid():
    """61 quotas of 1 + 2.3e-7 have no remainder on the grid, nor has the module of cost 1."""
    weights = (Fraction(10**6), *(Fraction(1),) * 61)
    costs, upper = (1, *(70001,) * 61), (5, *(9,) * 61)
    case = Case(weights, costs, (0,) * 62, upper, Fraction(5 + 61 * 70001 + 1))
    assert case.quotas[0] == 5 and case.quotas[1] > 1
    ranks = spend_all(case)
    assert within_bounds(case, ranks)
    assert case.spend(ranks) == case.budget - 1


# Shapes of real models, and shapes of none.


def shapes_of(pairs, n_blocks):
    sizes = np.array([pair for _ in range(n_blocks) for pair in pairs])
    return sizes.sum(axis=1), sizes.min(axis=1)


def llama_shapes(d, ff, kv):
    return [(d, d), (d, kv), (d, kv), (d, d), (d, ff), (d, ff), (ff, d)]


MODELS = {
    "bert": shapes_of([(768, 768)] * 4 + [(768, 3072)] * 2, 12),
    "llama-7b": shapes_of(llama_shapes(4096, 11008, 4096), 32),
    "llama-gqa": shapes_of(llama_shapes(4096, 11008, 1024), 32),
    "llama-70b": shapes_of(llama_shapes(8192, 28672, 1024), 80),
}


@pytest.mark.parametrize("budget", [0.5, 1, 4, 7.5, 64])
@pytest.mark.parametrize("model", MODELS)
def test_spend_all_spends_all_of_a_budget_on_real_shapes(model, budget):
    costs, full = MODELS[model]
    weights = np.random.default_rng(1).exponential(size=len(costs))
    ranks = apportion(weights, costs, budget=budget, lower=np.zeros_like(full), upper=full)
    assert costs @ ranks == budget * costs.sum()
    quotas = weights * (budget * costs.sum() / (costs @ weights))
    if quotas.max() < full.min():
        assert np.abs(ranks - quotas).max() < 1.6


def test_costs_without_a_divisor_are_spent_exactly_in_little_memory():
    """Every shape another, as in a pruned model: sums would fill 10^8 cells and more."""
    generator = np.random.default_rng(0)
    sizes = generator.integers(500, 20000, size=(60, 2))
    costs, full = sizes.sum(axis=1), sizes.min(axis=1)
    tracemalloc.start()
    ranks = apportion(
        generator.exponential(size=60), costs, budget=8, lower=np.zeros_like(full), upper=full
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert costs @ ranks == 8 * costs.sum()
    assert peak < 200e6


# Every rounding.


@QUICK
@given(cases(n_modules=12, max_room=40), st.sampled_from(sorted(ROUNDINGS)))
def test_no_rounding_overspends_or_leaves_the_bounds(case, rounding):
    ranks = ROUNDINGS[rounding](case)
    assert within_bounds(case, ranks)
    assert case.spend(ranks) <= case.budget


@st.composite
def questions(draw):
    """Arguments of apportion for modules of one cost and bounds each."""
    n = draw(st.integers(1, 12))
    many = {"min_size": n, "max_size": n}
    weights = np.array(draw(st.lists(WEIGHTS, **many)))
    assume(weights.any())
    costs = np.array(draw(st.lists(st.sampled_from(draw(st.sampled_from(FAMILIES))), **many)))
    budget = draw(st.floats(0.01, 12)) if draw(st.booleans()) else draw(st.integers(1, 12))
    return weights, costs, budget


def solve(weights, costs, budget, rounding, **options):
    lower, upper = np.zeros_like(costs), np.full_like(costs, 12)
    return apportion(
        weights, costs, budget=budget, lower=lower, upper=upper, rounding=rounding, **options
    )


@QUICK
@given(questions(), st.sampled_from(sorted(ROUNDINGS)))
def test_ranks_rise_with_weight_at_equal_cost(question, rounding):
    weights, costs, budget = question
    ranks = solve(weights, costs, budget, rounding)
    for cost in set(costs):
        of_cost = np.flatnonzero(costs == cost)
        ordered = of_cost[np.argsort(-weights[of_cost], kind="stable")]
        assert (np.diff(ranks[ordered]) <= 0).all()


@QUICK
@given(questions(), st.sampled_from(sorted(ROUNDINGS)), st.randoms(use_true_random=False))
def test_ranks_do_not_depend_on_the_order_of_modules(question, rounding, random):
    weights, costs, budget = question
    turns = np.array(random.sample(range(len(costs)), len(costs)))
    shuffle = np.array(random.sample(range(len(costs)), len(costs)))
    ranks = solve(weights, costs, budget, rounding, turns=turns)
    moved = solve(
        weights[shuffle], costs[shuffle], budget, rounding, turns=np.argsort(shuffle)[turns]
    )
    assert moved.tolist() == ranks[shuffle].tolist()


@QUICK
@given(questions(), st.sampled_from(sorted(ROUNDINGS)), st.integers(-20, 20))
def test_ranks_do_not_depend_on_the_weights_scale(question, rounding, power):
    weights, costs, budget = question
    scaled = weights * 2.0**power
    assert (
        solve(scaled, costs, budget, rounding).tolist()
        == solve(weights, costs, budget, rounding).tolist()
    )


@QUICK
@given(cases(n_modules=10, max_room=20))
def test_hamilton_keeps_to_the_quota(case):
    for rank, quota in zip(hamilton(case), case.quotas, strict=True):
        assert floor(quota) <= rank <= ceil(quota)


@QUICK
@given(cases(n_modules=10, max_room=20))
def test_hamilton_leaves_less_than_any_module_it_passed_over(case):
    ranks = hamilton(case)
    left = case.budget - case.spend(ranks)
    rows = zip(ranks, case.quotas, case.costs, strict=True)
    assert all(cost > left for rank, quota, cost in rows if rank < quota)


@QUICK
@given(cases(n_modules=10, max_room=20))
def test_floor_never_exceeds_the_quota(case):
    for rank, quota in zip(floors(case), case.quotas, strict=True):
        assert quota - 1 < rank <= quota


def test_hamilton_may_take_a_rank_away_when_the_budget_grows():
    """The Alabama paradox: weights 6, 6, 2; one seat more, and the third loses one."""
    weights, costs = np.array([6.0, 6.0, 2.0]), np.array([1, 1, 1])
    smaller, larger = (solve(weights, costs, seats / 3, "hamilton") for seats in (10, 11))
    assert (smaller.tolist(), larger.tolist()) == ([4, 4, 2], [5, 5, 1])


PUBLISHED = [1, 3, 7, 9, 9, 8, 8, 8, 8, 10, 10, 8]


def test_floor_underspends_as_the_published_list_does():
    """AdaRank's published value ranks spend 89 of 96; the others spend all 96."""
    weights = np.array(PUBLISHED) + 7 / 12
    costs = np.full(12, 1536)
    assert solve(weights, costs, 8, "floor").tolist() == PUBLISHED
    for rounding in ("spend_all", "hamilton"):
        assert solve(weights, costs, 8, rounding).sum() == 96


def test_floor_may_leave_a_module_without_a_rank():
    assert solve(np.array([1.0, 9.0]), np.array([1, 1]), 4, "floor").tolist() == [0, 7]


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("model", MODELS)
def test_uniform_at_a_whole_budget_is_that_rank_everywhere(model, rounding):
    costs, full = MODELS[model]
    ranks = apportion(
        np.full(len(costs), 0.1),
        costs,
        budget=6,
        lower=np.ones_like(full),
        upper=full,
        rounding=rounding,
    )
    assert set(ranks) == {6}


# Budgets.


def test_a_budget_loses_nothing_to_the_last_digit_of_a_float():
    # 0.29 * 100 is 28.999999999999996 in floats, and 11 / 3 * 3 a little below 11.
    assert budget_parameters(11 / 3, np.array([3])) == 11
    assert budget_parameters(0.4999, np.array([5, 5])) < 5
    assert budget_parameters(0.29, np.array([40, 60])) == 29
    assert budget_parameters(np.float64(0.1), np.array([10])) == 1


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf"), "four", None])
def test_a_budget_that_is_none_is_refused(budget):
    with pytest.raises(InputError, match="above 0"):
        budget_parameters(budget, np.array([10]))


@pytest.mark.parametrize(
    ("budget", "remedy"), [(0.5, "min_rank"), (0.999, "min_rank"), (6.01, "max_rank")]
)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_a_budget_out_of_reach_names_the_range_and_the_remedy(budget, remedy, rounding):
    costs = np.array([1536, 3840])
    with pytest.raises(InputError, match="out of reach") as error:
        apportion(
            np.ones(2),
            costs,
            budget=budget,
            lower=np.array([1, 1]),
            upper=np.array([6, 6]),
            rounding=rounding,
        )
    assert "average rank 1 to 6, 5,376 to 32,256 parameters" in str(error.value)
    assert remedy in error.value.problems[0].remedy


def test_both_ends_of_the_range_are_within_reach():
    costs, lower, upper = np.array([2, 5]), np.array([1, 1]), np.array([6, 6])
    for budget in (1, 6):
        ranks = apportion(np.array([1.0, 9.0]), costs, budget=budget, lower=lower, upper=upper)
        assert ranks.tolist() == [budget, budget]


def test_unknown_rounding_lists_those_there_are():
    with pytest.raises(InputError, match="spend_all, hamilton, floor"):
        solve(np.ones(2), np.array([1, 1]), 2, "round")


def test_the_former_name_of_a_rounding_names_the_present_one():
    with pytest.raises(InputError, match="exact is now called spend_all"):
        solve(np.ones(2), np.array([1, 1]), 2, "exact")
