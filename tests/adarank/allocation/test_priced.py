"""A price for every block opened: against all subsets, in closed form, and its controls."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adarank.allocation.allocate import allocate
from adarank.allocation.strategies.controls import original
from adarank.allocation.strategies.priced import BlockPrice
from adarank.allocation.strategies.registry import find_strategy
from adarank.errors import InputError
from tests.tables import BERT, score_table


def opened(strategy: str = "priced", table=None, blocks: int = 6, **price) -> set[int]:
    table = score_table(BERT, blocks) if table is None else table
    plan = allocate(table, budget=2, strategy=strategy, block_price=BlockPrice(**price))
    assert plan.parameters == 2 * blocks * 13824
    return {module.block for module in plan.adapted}


def of_blocks(shares: list[float]):
    """A table whose scores give each block this share of the budget."""
    scores = np.repeat(shares, len(BERT))[:, None]
    return score_table(BERT, len(shares), scores)


@settings(max_examples=60, deadline=None)
@given(
    shares=st.lists(st.floats(0.01, 1), min_size=2, max_size=6, unique=True),
    price=st.floats(0.0, 0.6),
)
def test_no_other_set_of_blocks_is_worth_more(shares, price):
    got = opened(table=of_blocks(shares), blocks=len(shares), per_block=price)
    total = sum(shares)

    def worth(blocks) -> float:
        return np.sqrt(sum(shares[b] for b in blocks) / total) - price * len(blocks)

    everything = range(len(shares))
    best = max(worth(s) for n in range(1, len(shares) + 1) for s in combinations(everything, n))
    assert worth(got) == pytest.approx(best, abs=1e-9)


def test_the_example_of_the_docstring():
    assert opened(table=of_blocks([0.3, 0.2, 0.5]), blocks=3, per_block=0.15) == {0, 2}


def test_of_equal_blocks_the_last_ones_are_opened():
    assert opened("priced_uniform", per_block=0.1) == {2, 3, 4, 5}
    assert opened("priced_uniform", per_block=0.0) == set(range(6))


def test_priced_by_operations_blocks_are_opened_from_the_last_one():
    rising = of_blocks([8, 1, 1, 1, 1, 2])
    by_share = opened(table=rising, per_block=0.3)
    by_cost = opened(table=rising, per_block=0.3, by="training_flops")
    assert by_share == {0} and by_cost == {5}


def test_controls_open_blocks_by_their_own_weights_at_the_same_price():
    table = of_blocks([9, 1, 1, 1, 1, 1])
    assert opened(table=table, per_block=0.2) == {0}
    assert opened("reversed_priced", table=table, per_block=0.2) != {0}
    assert original("permuted_priced_fisher") == "priced_fisher"
    assert find_strategy("permuted_priced_fisher").priced
    drawn = allocate(table, budget=2, strategy="permuted_priced", permutations=3)
    assert {plan.parameters for plan in map(drawn.for_seed, range(3))} == {2 * 6 * 13824}


@pytest.mark.parametrize("name", ["priced_literal_linear_decay", "priced_adalora", "priced_full"])
def test_ranks_that_are_stated_or_change_have_no_price(name):
    with pytest.raises(InputError, match="priced_"):
        find_strategy(name)


def test_opened_blocks_keep_their_proportions():
    table = of_blocks([1, 1, 10, 10])
    plan = allocate(table, budget=4, strategy="priced", block_price=BlockPrice(0.15))
    assert {module.block for module in plan.adapted} == {2, 3}
    assert {module.rank for module in plan.adapted} == {8}


def test_a_control_of_priced_ranks_has_one_name():
    with pytest.raises(InputError, match="write permuted_priced_fisher"):
        find_strategy("priced_permuted_fisher")
