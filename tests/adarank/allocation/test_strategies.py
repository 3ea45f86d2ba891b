from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from adarank.allocation.allocate import allocate
from adarank.allocation.rounding.spread import even_spread
from adarank.allocation.signal import read_signal
from adarank.allocation.strategies.question import Question
from adarank.allocation.strategies.registry import (
    FORMS,
    STRATEGIES,
    find_strategy,
    is_reserved,
    permuted_of,
    reversed_of,
    weigh,
)
from adarank.allocation.strategies.strategy import Strategy
from adarank.errors import InputError
from tests.tables import BERT, llama, score_table, with_components

SCORES = [0.5, 3.0, 1.0, 2.0, 0.25, 0.75]


def question(scores: pd.DataFrame, name: str = "disagreement", seed: int = 0) -> Question:
    signal = read_signal(scores)
    full = signal.modules[["d_in", "d_out"]].min(axis=1).to_numpy()
    budget = Fraction(4 * int(signal.modules["parameters_per_rank"].sum()))
    return Question(signal.modules, {name: signal}, budget, full * 0, full, seed)


def weights_of(name: str, asked: Question) -> np.ndarray:
    return weigh(name, find_strategy(name), asked)


@pytest.fixture
def asked() -> Question:
    return question(score_table(BERT, 1, np.array(SCORES)[:, None]))


def by_kind(asked: Question, weights: np.ndarray) -> dict[str, float]:
    return dict(zip(asked.modules["kind"], weights.tolist(), strict=True))


def test_uniform_weighs_all_alike(asked):
    assert weights_of("uniform", asked).tolist() == [1.0] * 6


def test_a_signal_weighs_by_the_mean_over_trials():
    scores = score_table(BERT[:2], 1, np.array([[1.0, 3.0], [2.0, 4.0]]))
    asked = question(scores, "fisher")
    assert by_kind(asked, weights_of("fisher", asked)) == {"query": 2.0, "key": 3.0}


def test_reversed_gives_the_kth_highest_weight_to_the_kth_lowest(asked):
    # up 0.25 < query 0.5 < down 0.75 < value 1 < dense 2 < key 3
    assert by_kind(asked, weights_of("reversed", asked)) == {
        "up": 3.0,
        "query": 2.0,
        "down": 1.0,
        "value": 0.75,
        "dense": 0.5,
        "key": 0.25,
    }


def test_reversed_twice_is_the_strategy_itself(asked):
    twice = weights_of("reversed_reversed_disagreement", asked)
    assert twice.tolist() == weights_of("disagreement", asked).tolist()


@pytest.mark.parametrize("control", ["reversed", "permuted"])
@pytest.mark.parametrize("name", ["disagreement", "fisher", "linear_decay"])
def test_controls_keep_the_weights_and_change_their_owners(control, name):
    scores = score_table(BERT, 4)
    asked = question(scores, name)
    weights, original = weights_of(f"{control}_{name}", asked), weights_of(name, asked)
    assert sorted(weights) == sorted(original)
    assert weights.tolist() != original.tolist()


def test_sortnet_weighs_by_the_learned_order_and_has_its_controls():
    asked = question(score_table(BERT, 1, np.array(SCORES)[:, None]), "learned_order")
    weights = weights_of("sortnet", asked)
    assert weights.tolist() == asked.signal("learned_order").score.tolist()
    for control in ("reversed_sortnet", "permuted_sortnet"):
        swapped = weights_of(control, asked)
        assert sorted(swapped) == sorted(weights) and swapped.tolist() != weights.tolist()


def test_a_control_alone_is_disagreements(asked):
    for control in ("reversed", "permuted"):
        alone, of = weights_of(control, asked), weights_of(f"{control}_disagreement", asked)
        assert alone.tolist() == of.tolist()


def test_permuted_follows_its_seed_alone():
    scores = score_table(BERT, 1, np.array(SCORES)[:, None])
    dealt = {s: tuple(weights_of("permuted", question(scores, seed=s))) for s in range(8)}
    assert len(set(dealt.values())) > 4
    assert tuple(weights_of("permuted", question(scores, seed=3))) == dealt[3]


@pytest.mark.parametrize("wrapper", [reversed_of, permuted_of])
def test_controls_wrap_any_strategy(wrapper, asked):
    by_size = Strategy(lambda q: q.costs.astype(float) + q.seed, "by size")
    assert sorted(wrapper(by_size).weigh(asked)) == sorted(by_size.weigh(asked))


@pytest.mark.parametrize(
    "name", ["disagrement", "reversed_disagrement", "literal", "literal_", "", "mirrored_uniform"]
)
def test_unknown_strategy_lists_those_there_are(name):
    with pytest.raises(InputError) as error:
        find_strategy(name)
    for known in (*STRATEGIES, *FORMS):
        assert known in str(error.value)


def test_only_what_states_ranks_can_be_taken_literally():
    with pytest.raises(InputError, match="states no ranks") as error:
        find_strategy("literal_disagreement")
    assert "linear_decay" in str(error.value)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_cannot_be_used_name_the_module(bad, asked):
    weights = np.array([1.0, 1.0, bad, 1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="1 of 6 modules") as error:
        weigh("broken", Strategy(lambda _: weights, "broken"), asked)
    assert asked.names[2] in str(error.value)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_signal_that_is_the_same_everywhere_is_refused(value):
    asked = question(score_table(BERT, 2, np.full((12, 1), value)))
    with pytest.raises(InputError, match="the same for every module") as error:
        weights_of("disagreement", asked)
    assert f"12 modules of score {value:g}" in str(error.value)
    assert weights_of("uniform", asked).all()


def test_a_signal_that_was_not_scored_names_the_stage_to_add(asked):
    with pytest.raises(InputError, match=r"signal fisher: this signal was not scored") as error:
        weights_of("fisher", asked)
    for word in ("scored: disagreement", "study.task_signals", "score_task@fisher"):
        assert word in str(error.value)


# The score table.


def test_every_fault_of_a_table_is_told_at_once():
    scores = score_table(BERT, 2, trials=2)
    scores.loc[0, "score"], scores.loc[[10, 11], "score"] = np.nan, -1.0
    scores.loc[4, "parameters_per_rank"] = 7
    scores.loc[8, "trial"] = 1
    with pytest.raises(InputError) as error:
        read_signal(scores)
    faults = "\n".join(problem.what for problem in error.value.problems)
    for fault in ("finite", "negative", "d_in + d_out", "same trial twice", "two ways"):
        assert fault in faults


@pytest.mark.parametrize(
    ("column", "values"),
    [("score", "high"), ("block", 0.5), ("kind", 3), ("trial", "first"), ("d_in", True)],
)
def test_columns_of_another_type_are_refused(column, values):
    with pytest.raises(InputError, match=rf"scores\.{column}: column of another type"):
        read_signal(score_table(BERT, 1).assign(**{column: values}))


def test_what_is_no_table_is_refused():
    for strange in ("scores.parquet", [1.0, 2.0], {"disagreement": "scores.parquet"}):
        with pytest.raises(InputError, match=r"scores: not a score table(.|\n)*pandas\.DataFrame"):
            allocate(strange, budget=2)  # pyright: ignore[reportArgumentType]


def test_missing_columns_and_rows_are_refused():
    with pytest.raises(InputError, match="columns missing"):
        read_signal(score_table(BERT, 1).drop(columns="trial"))
    with pytest.raises(InputError, match="no rows"):
        read_signal(score_table(BERT, 1).iloc[:0])


def test_the_mean_does_not_depend_on_the_order_of_rows():
    scores = score_table(BERT, 3, trials=7)
    shuffled = scores.sample(frac=1, random_state=1)
    assert read_signal(scores).score.tolist() == read_signal(shuffled).score.tolist()


def test_components_are_sorted_per_module_and_summed_to_its_score():
    scores = with_components(score_table(BERT[:2], 1), [[1.0, 4.0, 2.0], [3.0, 0.5, 0.0]])
    signal = read_signal(scores.sample(frac=1, random_state=0))
    assert signal.components is not None
    key, query = signal.components  # sorted by the modules' names
    assert (key.tolist(), query.tolist()) == ([3.0, 0.5, 0.0], [4.0, 2.0, 1.0])
    assert signal.score.tolist() == [3.5, 7.0]


def test_the_same_component_twice_is_refused():
    scores = with_components(score_table(BERT[:2], 1), [[1.0, 4.0], [3.0, 0.5]])
    with pytest.raises(InputError, match="same trial twice"):
        read_signal(scores.assign(component=0))


# Who comes first among equals.


@pytest.mark.parametrize(
    ("block", "n_blocks"),
    [(BERT, 6), (BERT, 12), (BERT, 24), (BERT[2:3], 12), (llama(4096, 11008, 1024), 32)],
    ids=["6 blocks", "12 blocks", "24 blocks", "one kind", "llama"],
)
def test_every_beginning_of_the_spread_order_is_spread(block, n_blocks):
    table = read_signal(score_table(block, n_blocks)).modules
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
    table = read_signal(score_table(BERT, 5)).modules
    shuffled = table.sample(frac=1, random_state=2).reset_index(drop=True)
    here, there = (t["module"].to_numpy()[even_spread(t)] for t in (table, shuffled))
    assert here.tolist() == there.tolist()


@pytest.mark.parametrize(
    ("name", "start", "ratio", "signals"),
    [
        ("gradient_start_uniform", "gradient", None, ("gradient_directions",)),
        ("inputs_start_fisher", "inputs", None, ("fisher", "input_directions")),
        ("orthogonal_start_permuted", "orthogonal", None, ("disagreement",)),
        ("rate_ratio_8_uniform", "kaiming", 8.0, ()),
        ("rate_ratio_2_gradient_start_gradient_spectrum", "gradient", 2.0, None),
        ("gradient_spectrum", "kaiming", None, ("gradient_spectrum",)),
    ],
)
def test_forms_of_training_leave_the_weights_alone(name, start, ratio, signals):
    found = find_strategy(name)
    assert (found.start, found.rate_ratio) == (start, ratio)
    expected = ("gradient_spectrum", "gradient_directions") if signals is None else signals
    assert found.signals == expected


@pytest.mark.parametrize("name", ["adalora", "eva", "growing", "squeezed", "full"])
def test_a_tuner_that_begins_its_own_factors_takes_no_start(name):
    with pytest.raises(InputError, match="decides itself how its weights begin"):
        find_strategy(f"gradient_start_{name}")


def test_full_fine_tuning_takes_no_rate_ratio():
    with pytest.raises(InputError, match="no factors A and B"):
        find_strategy("rate_ratio_8_full")


def test_forms_of_training_are_reserved_names():
    assert is_reserved("gradient_start_mine") and is_reserved("rate_ratio_4_mine")
    assert not is_reserved("gradient_mine")


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ("permuted_gradient_start_fisher", "gradient_start_permuted_fisher"),
        ("gradient_start_rate_ratio_8_uniform", "rate_ratio_8_gradient_start_uniform"),
        ("reversed_rate_ratio_2_inputs_start_fisher", "rate_ratio_2_inputs_start_reversed_fisher"),
        ("inputs_start_literal_rate_ratio_2_mine", "rate_ratio_2_inputs_start_literal_mine"),
    ],
)
def test_every_cell_has_one_name(other: str, name: str) -> None:
    mine = {"mine": find_strategy("linear_decay")}
    find_strategy(name, mine)
    with pytest.raises(InputError, match=f"write {name}$"):
        find_strategy(other, mine)


@pytest.mark.parametrize(
    "name", ["gradient_start_inputs_start_uniform", "rate_ratio_2_rate_ratio_4_uniform"]
)
def test_two_starts_or_ratios_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="two starts, or two ratios"):
        find_strategy(name)
