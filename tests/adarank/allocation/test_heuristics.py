"""Ranks from a module's place, literal and scaled; lists of one's own; signals combined."""

import numpy as np
import pytest

from adarank.allocation.allocate import allocate
from adarank.allocation.strategies.definitions import combined, custom, explicit
from adarank.errors import InputError
from tests.tables import BERT, score_table

GPT2 = [
    ("attn.c_attn", "qkv", 1024, 3072),
    ("attn.c_proj", "dense", 1024, 1024),
    ("mlp.c_fc", "up", 1024, 4096),
]


def ranks(strategy, shapes=GPT2, n_blocks=24, **options):
    scores = score_table(shapes, n_blocks)
    plan = allocate(scores, budget=16, strategy=strategy, **options)
    by_block = {(m.block, m.kind): m.rank for m in plan.modules}
    kinds = [kind for _, kind, _, _ in shapes]
    return {kind: [by_block[block, kind] for block in range(n_blocks)] for kind in kinds}, plan


def test_linear_decay_gives_the_published_ranks():
    found, _ = ranks("literal_linear_decay")
    wanted = [max(4, int(16 - 12 * i / 23)) for i in range(24)]
    assert wanted[:7] == [16, 15, 14, 14, 13, 13, 12]
    assert wanted[-1] == 4
    assert all(of_kind == wanted for of_kind in found.values())


def test_attention_heavy_halves_the_feed_forward():
    found, _ = ranks("literal_attention_heavy")
    assert found == {"qkv": [16] * 24, "dense": [16] * 24, "up": [8] * 24}


def test_empirical_goes_by_thirds():
    found, _ = ranks("literal_empirical")
    depth = [i / 23 for i in range(24)]
    wanted = [9 if d < 0.3 else 19 if d < 0.7 else 16 for d in depth]
    assert found["qkv"] == wanted
    assert (wanted.count(9), wanted.count(19), wanted.count(16)) == (7, 10, 7)


@pytest.mark.parametrize("name", ["linear_decay", "attention_heavy", "empirical"])
@pytest.mark.parametrize("n_blocks", [1, 2, 24])
def test_scaled_to_the_budget_they_cost_what_uniform_costs(name, n_blocks):
    found, plan = ranks(name, n_blocks=n_blocks)
    uniform = ranks("uniform", n_blocks=n_blocks)[1]
    assert plan.parameters == uniform.parameters
    literal = ranks(f"literal_{name}", n_blocks=n_blocks)[0]
    ratio = [a / b for kind in found for a, b in zip(found[kind], literal[kind], strict=True)]
    assert max(ratio) / min(ratio) < 1.25  # the proportions are kept, as whole ranks can keep them


# Lists of one's own.

PUBLISHED = {
    "query": "1,3,3,3,4,5,5,6,7,7,7,7",
    "key": "5,6,5,5,6,6,5,6,6,6,6,6",
    "value": "2,6,11,14,15,14,13,14,13,16,16,13",
    "dense": "7,8,8,8,7,7,6,8,8,7,8,8",
}


def test_explicit_reads_the_flag_form_in_the_published_order():
    flag = " ".join(PUBLISHED.values())
    found, plan = ranks(
        "literal_mine", BERT[:4], 12, defined={"mine": explicit("mine", flag)}, min_rank=0
    )
    assert {kind: ",".join(map(str, r)) for kind, r in found.items()} == PUBLISHED
    assert sum(plan.ranks.values()) == 363
    by_name = explicit("mine", {k: [int(r) for r in v.split(",")] for k, v in PUBLISHED.items()})
    assert ranks("literal_mine", BERT[:4], 12, defined={"mine": by_name})[1] == plan


def test_explicit_leaves_out_kinds_without_a_list():
    mine = explicit("mine", {"value": [2] * 12})
    found, _ = ranks("literal_mine", BERT[:4], 12, defined={"mine": mine})
    assert found["value"] == [2] * 12
    assert found["query"] == [0] * 12


def test_explicit_scaled_spends_the_budget_in_proportion():
    found, plan = ranks(
        "mine", BERT[:4], 12, defined={"mine": explicit("mine", PUBLISHED)}, min_rank=0
    )
    assert sum(plan.ranks.values()) == 16 * 48
    stated = [int(r) for of_kind in PUBLISHED.values() for r in of_kind.split(",")]
    got = [rank for kind in PUBLISHED for rank in found[kind]]
    quota = np.array(stated) * 16 * 48 / sum(stated)
    assert np.abs(np.array(got) - quota).max() <= 1


def test_custom_gives_every_module_of_a_block_its_rank():
    listed = list(range(1, 25))
    found, _ = ranks("literal_mine", defined={"mine": custom("mine", listed)})
    assert all(of_kind == listed for of_kind in found.values())


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (custom("mine", [4] * 23), ("not as many ranks as blocks", "23", "24, one per block")),
        (explicit("mine", "4,4 4,4"), ("not as many lists as kinds", "qkv, dense, up")),
        (explicit("mine", {"qkv": "4," * 23 + "x"}), ("strategies.mine.qkv[23]", "not a rank")),
        (explicit("mine", {"qkv": "4," * 23 + "2.5"}), ("2.5", "whole number")),
        (explicit("mine", {"value": "4"}), ("no scored module is of this kind", "qkv, dense, up")),
        (custom("mine", [2000] * 24), ("above the module's smaller dimension", "at most 1024")),
    ],
)
def test_lists_that_do_not_fit_say_what_would(strategy, words):
    with pytest.raises(InputError) as error:
        ranks("literal_mine", defined={"mine": strategy})
    for word in words:
        assert word in str(error.value)


# Combined.


def tables(*names: str):
    return {name: score_table(BERT, 3, seed=place) for place, name in enumerate(names)}


def test_combined_is_the_weighted_mean_of_shares():
    scores = tables("disagreement", "fisher")
    both = {"both": combined("both", {"disagreement": 1, "fisher": 3})}
    plan = allocate(scores, budget=200, strategy="both", defined=both, min_rank=0)
    by_name = {n: t.set_index("module")["score"] for n, t in scores.items()}
    shares = {name: table / table.sum() for name, table in by_name.items()}
    wanted = 0.25 * shares["disagreement"] + 0.75 * shares["fisher"]
    costs = scores["fisher"].set_index("module")["parameters_per_rank"]
    quota = 200 * costs.sum() * wanted / (wanted * costs).sum()
    got = np.array([plan.ranks[module] for module in quota.index])
    assert (quota < 768).all()
    assert np.abs(got - quota.to_numpy()).max() <= 1


def test_combined_does_not_depend_on_the_signals_units():
    scores = tables("disagreement", "fisher")
    both = {"both": combined("both", {"disagreement": 1, "fisher": 1})}
    scaled = scores | {"fisher": scores["fisher"].assign(score=scores["fisher"]["score"] * 1024)}
    plans = [allocate(s, budget=8, strategy="both", defined=both) for s in (scores, scaled)]
    assert plans[0] == plans[1]


@pytest.mark.parametrize("parts", [{}, {"fisher": 0}, {"fisher": float("inf")}])
def test_parts_that_cannot_be_combined_are_refused(parts):
    with pytest.raises(InputError, match="cannot be combined"):
        combined("both", parts)


def test_an_unknown_part_is_refused():
    with pytest.raises(InputError, match="unknown strategy"):
        combined("both", {"fischer": 1})


def test_tables_of_different_modules_are_refused():
    scores = {"disagreement": score_table(BERT, 3), "fisher": score_table(BERT, 2)}
    with pytest.raises(InputError, match="18 and 12 modules"):
        allocate(scores, budget=4, strategy="fisher")
