import numpy as np
import pandas as pd
import pytest

from adarank.allocation.spread import even_spread
from adarank.allocation.strategies import STRATEGIES, permuted_of, reversed_of, weigh
from adarank.allocation.table import per_module
from adarank.errors import InputError
from tests.tables import BERT, llama, score_table

SCORES = [0.5, 3.0, 1.0, 2.0, 0.25, 0.75]


@pytest.fixture
def table() -> pd.DataFrame:
    return per_module(score_table(BERT, 1, np.array(SCORES)[:, None]))


def by_kind(table: pd.DataFrame, weights: np.ndarray) -> dict[str, float]:
    return dict(zip(table["kind"], weights.tolist(), strict=True))


def test_uniform_weighs_all_alike(table):
    assert weigh("uniform", table).tolist() == [1.0] * 6


def test_disagreement_weighs_by_the_mean_over_trials():
    trials = np.array([[1.0, 3.0], [2.0, 4.0]])
    table = per_module(score_table(BERT[:2], 1, trials))
    assert by_kind(table, weigh("disagreement", table)) == {"query": 2.0, "key": 3.0}


def test_reversed_gives_the_kth_highest_weight_to_the_kth_lowest(table):
    weights = by_kind(table, weigh("reversed", table))
    # up 0.25 < query 0.5 < down 0.75 < value 1 < dense 2 < key 3
    assert weights == {
        "up": 3.0,
        "query": 2.0,
        "down": 1.0,
        "value": 0.75,
        "dense": 0.5,
        "key": 0.25,
    }


def test_reversed_twice_is_the_strategy_itself(table):
    twice = reversed_of(reversed_of(STRATEGIES["disagreement"]))
    assert twice(table, 0).tolist() == weigh("disagreement", table).tolist()


@pytest.mark.parametrize("control", ["reversed", "permuted"])
def test_controls_keep_the_weights_and_change_their_owners(control, table):
    weights, original = weigh(control, table), weigh("disagreement", table)
    assert sorted(weights) == sorted(original)
    assert weights.tolist() != original.tolist()


def test_permuted_follows_its_seed_alone(table):
    dealt = {seed: tuple(weigh("permuted", table, seed)) for seed in range(8)}
    assert len(set(dealt.values())) > 4
    assert tuple(weigh("permuted", table, 3)) == dealt[3]


@pytest.mark.parametrize("wrapper", [reversed_of, permuted_of])
def test_controls_wrap_any_strategy_whatever_the_row_order(wrapper, table):
    def by_size(table: pd.DataFrame, seed: int) -> np.ndarray:
        return table["parameters_per_rank"].to_numpy(dtype=float) + seed

    shuffled = table.sample(frac=1, random_state=5).reset_index(drop=True)
    here, there = wrapper(by_size)(table, 7), wrapper(by_size)(shuffled, 7)
    assert by_kind(table, here) == by_kind(shuffled, there)
    assert sorted(here) == sorted(by_size(table, 7))


def test_unknown_strategy_lists_those_there_are(table):
    with pytest.raises(InputError) as error:
        weigh("disagrement", table)
    for name in STRATEGIES:
        assert name in str(error.value)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_cannot_be_used_name_the_module(bad, table, monkeypatch):
    weights = np.array([1.0, 1.0, bad, 1.0, 1.0, 1.0])
    monkeypatch.setitem(STRATEGIES, "broken", lambda *_: weights)
    with pytest.raises(InputError, match="1 of 6 modules") as error:
        weigh("broken", table)
    assert table["module"][2] in str(error.value)


def test_all_zero_weights_are_refused():
    table = per_module(score_table(BERT, 2, np.zeros((12, 1))))
    with pytest.raises(InputError, match="all weights are zero"):
        weigh("disagreement", table)
    assert weigh("uniform", table).all()


# The score table.


def test_every_fault_of_a_table_is_told_at_once():
    scores = score_table(BERT, 2, trials=2)
    scores.loc[0, "score"], scores.loc[3, "score"] = np.nan, -1.0
    scores.loc[4, "parameters_per_rank"] = 7
    scores.loc[8, "trial"] = 1
    with pytest.raises(InputError) as error:
        per_module(scores)
    faults = "\n".join(problem.what for problem in error.value.problems)
    for fault in ("finite", "negative", "d_in + d_out", "same trial twice", "two ways"):
        assert fault in faults


@pytest.mark.parametrize(
    ("column", "values"),
    [("score", "high"), ("block", 0.5), ("kind", 3), ("trial", "first"), ("d_in", True)],
)
def test_columns_of_another_type_are_refused(column, values):
    with pytest.raises(InputError, match=rf"scores\.{column}: column of another type"):
        per_module(score_table(BERT, 1).assign(**{column: values}))


def test_missing_columns_and_rows_are_refused():
    with pytest.raises(InputError, match="columns missing"):
        per_module(score_table(BERT, 1).drop(columns="trial"))
    with pytest.raises(InputError, match="no rows"):
        per_module(score_table(BERT, 1).iloc[:0])


def test_the_mean_does_not_depend_on_the_order_of_rows():
    scores = score_table(BERT, 3, trials=7)
    shuffled = scores.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(per_module(scores), per_module(shuffled), check_exact=True)


# Who comes first among equals.


@pytest.mark.parametrize(
    ("block", "n_blocks"),
    [(BERT, 6), (BERT, 12), (BERT, 24), (BERT[2:3], 12), (llama(4096, 11008, 1024), 32)],
    ids=["6 blocks", "12 blocks", "24 blocks", "one kind", "llama"],
)
def test_every_beginning_of_the_spread_order_is_spread(block, n_blocks):
    table = per_module(score_table(block, n_blocks))
    kinds = pd.get_dummies(table["kind"]).to_numpy(dtype=float)
    depth = np.stack([table["block"] <= cut for cut in range(n_blocks)], axis=1).astype(float)
    within = (kinds[:, :, None] * depth[:, None, :]).reshape(len(table), -1)
    order = even_spread(table)
    assert sorted(order) == list(range(len(table)))
    for groups, allowed in ((kinds, 1.0), (depth, 2.0), (within, 2.5)):
        taken = groups[order].cumsum(axis=0)
        due = np.outer(np.arange(1, len(table) + 1), groups.mean(axis=0))
        assert np.abs(taken - due).max() < allowed


def test_the_spread_order_ignores_the_order_of_rows():
    table = per_module(score_table(BERT, 5))
    shuffled = table.sample(frac=1, random_state=2).reset_index(drop=True)
    here, there = (t["module"].to_numpy()[even_spread(t)] for t in (table, shuffled))
    assert here.tolist() == there.tolist()
