"""Strategies that adapt some modules alone: which ones, at equal parameters, and their controls."""

import pytest

from adarank.allocation.allocate import allocate
from adarank.allocation.strategies.registry import find_strategy, is_reserved
from adarank.errors import InputError
from tests.tables import BERT, score_table

BLOCKS = 12
ALL = BLOCKS * 13824  # parameters per rank of all modules


def plan(strategy: str, budget: float = 4, **options):
    return allocate(score_table(BERT, BLOCKS), budget=budget, strategy=strategy, **options)


@pytest.mark.parametrize("min_rank", [0, 1, None])
def test_mlp_only_adapts_the_feed_forward_modules_equally(min_rank):
    got = plan("mlp_only", min_rank=min_rank)
    assert {m.kind for m in got.adapted} == {"up", "down"}
    # 663,552 parameters at 3840 a rank are 172.8 ranks, 7.2 for each of 24 modules.
    assert got.parameters == 172 * 3840
    assert {m.rank for m in got.adapted} <= {7, 8}


@pytest.mark.parametrize("k", [1, 3, 12])
def test_last_blocks_adapts_the_blocks_nearest_the_output_equally(k):
    got = plan(f"last_{k}_blocks")
    assert {m.block for m in got.adapted} == set(range(BLOCKS - k, BLOCKS))
    assert got.parameters == 4 * ALL
    assert {m.rank for m in got.adapted} == {4 * BLOCKS // k}


def test_the_reverse_of_the_last_blocks_are_the_first():
    """In the order of blocks, not of names: layer.10 would come before layer.2."""
    got = plan("reversed_last_3_blocks")
    assert {m.block for m in got.adapted} == {0, 1, 2}
    assert got.parameters == 4 * ALL


def test_the_reverse_of_mlp_only_are_attention_modules():
    got = plan("reversed_mlp_only")
    assert {m.kind for m in got.adapted} <= {"query", "key", "value", "dense"}
    assert len(got.adapted) == 24


@pytest.mark.parametrize("strategy", ["last_3_blocks", "mlp_only"])
def test_permuted_selects_as_many_modules_at_random(strategy):
    number = len(plan(strategy).adapted)
    drawn = plan(f"permuted_{strategy}", permutations=3)
    adapted = [tuple(m.name for m in drawn.for_seed(s).adapted) for s in range(3)]
    assert [len(names) for names in adapted] == [number] * 3
    assert len(set(adapted)) == 3
    assert drawn.parameters == 4 * ALL


def test_the_minimal_budget_of_few_modules():
    got = plan("last_1_blocks", budget=1 / 12, min_rank=1)
    assert {m.rank for m in got.adapted} == {1} and len(got.adapted) == 6


@pytest.mark.parametrize(
    ("strategy", "block", "words"),
    [
        ("last_13_blocks", BERT, ("more blocks than the model has", "at most 12")),
        ("mlp_only", BERT[:4], ("no feed-forward module was scored", "query")),
    ],
)
def test_a_place_that_the_model_lacks_is_refused(strategy, block, words):
    with pytest.raises(InputError) as error:
        allocate(score_table(block, BLOCKS), budget=4, strategy=strategy)
    assert all(word in str(error.value) for word in words)


def test_more_than_the_selected_modules_can_take_is_out_of_reach():
    with pytest.raises(InputError, match="out of reach"):
        plan("last_1_blocks", budget=65)


@pytest.mark.parametrize(
    "name", ["last_0_blocks", "last_blocks", "last_x_blocks", "last_-1_blocks"]
)
def test_names_that_are_no_number_of_blocks_are_unknown(name):
    with pytest.raises(InputError, match="last_K_blocks"):
        find_strategy(name)
    assert not is_reserved(name) and is_reserved("last_2_blocks")
