"""A learned order: shares by place, its file, and the comparator that comes with the package."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adarank.ordering.comparator import Comparator
from adarank.ordering.features import ModuleWeight, module_features
from adarank.ordering.learned import (
    LearnedOrder,
    TrainingModel,
    recognised,
    shares_by_place,
    weight_hash,
)
from adarank.ordering.lists import OrderingError
from adarank.ordering.stored_order import SHIPPED, load_order, to_json

PROFILE = np.array([3.0, 1.0, 0.5])
MODELS = (TrainingModel("toy", "file:toy", ("query",), ("0123456789abcdef",)),)
TOY = LearnedOrder(
    Comparator(2, hidden=3, seed=1),
    ("a", "b"),
    np.array([1.0, -1.0]),
    np.array([2.0, 0.5]),
    PROFILE,
    MODELS,
    {"seed": 0},
)


def table(n: int = 7, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(n, 2))
    return pd.DataFrame(values, columns=list("ab"), index=[f"m{i}" for i in range(n)])


def test_a_place_gets_the_profile_s_value() -> None:
    assert shares_by_place(np.array([5.0, 9.0, 7.0]), PROFILE).tolist() == [0.5, 3.0, 1.0]
    assert shares_by_place(np.array([1.0, 1.0]), PROFILE).tolist() == [1.0, 1.0]
    assert shares_by_place(np.array([4.0]), PROFILE).tolist() == [3.0]
    # Places between the profile's points are interpolated.
    assert shares_by_place(np.array([4.0, 3, 2, 1, 0]), PROFILE).tolist() == [3, 2, 1, 0.75, 0.5]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_order_in_which_modules_are_listed_does_not_matter(seed: int) -> None:
    rows, order = table(seed=seed), np.random.default_rng(seed).permutation(7)
    shares = TOY.shares(TOY.margins(rows))
    other = rows.iloc[order]
    np.testing.assert_array_equal(TOY.shares(TOY.margins(other)), shares[order])


def test_features_are_standardised_and_taken_by_name() -> None:
    rows = table()
    items = (rows[["a", "b"]].to_numpy() - TOY.mean) / TOY.scale
    np.testing.assert_array_equal(TOY.margins(rows[["b", "a"]]), TOY.comparator.margins(items))


def test_another_set_of_features_is_refused() -> None:
    with pytest.raises(
        OrderingError, match=r"(?s)another set of features.*1 unknown \(c\), 1 lacking"
    ):
        TOY.margins(table().rename(columns={"b": "c"}))


def test_features_that_are_not_finite_name_their_module() -> None:
    rows = table()
    rows.loc["m3", "a"] = np.nan
    with pytest.raises(OrderingError, match="1 of 7 modules are not finite") as caught:
        TOY.margins(rows)
    assert caught.value.problems[0].where == "m3"


def test_a_file_holds_the_order_and_writing_it_again_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "order.json"
    path.write_text(to_json(TOY))
    read = load_order(path)
    assert to_json(read) == path.read_text()
    assert (read.features, read.models, read.about) == (TOY.features, TOY.models, TOY.about)
    np.testing.assert_allclose(read.margins(table()), TOY.margins(table()), rtol=1e-4, atol=1e-5)


def spoil(change: dict[str, Any]) -> str:
    entries = json.loads(to_json(TOY)) | change
    return json.dumps({name: value for name, value in entries.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        (spoil({"own": None}), "cannot be read.*own"),
        (spoil({"features": ["a"]}), "cannot be read.*size mismatch"),
        (spoil({"models": [{"name": "toy"}]}), "cannot be read"),
        (spoil({"mean": [0.0]}), "do not fit together"),
        (spoil({"bias": float("nan")}), "do not fit together.*not all finite"),
        (spoil({"profile": [1.0]}), "do not fit together"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "order.json"
    path.write_text(text)
    with pytest.raises(OrderingError, match=f"(?s){message}"):
        load_order(path)
    with pytest.raises(OrderingError, match="cannot be read"):
        load_order(tmp_path / "absent.json")


def test_a_weight_is_recognised_in_any_exact_type_and_layout() -> None:
    weight = torch.randn(6, 4).bfloat16()
    known = replace(MODELS[0], weights=(weight_hash(weight),))
    for same in (weight.float(), weight.double(), weight.mT.contiguous().mT):
        assert recognised([weight_hash(same)], [MODELS[0], known]) is known
    assert recognised([weight_hash(weight + 1)], [known]) is None


def test_the_shipped_comparator_takes_today_s_features() -> None:
    learned = load_order()
    weights = [
        ModuleWeight(f"{block}.{kind}", block, kind, torch.randn(8, 8))
        for block in range(3)
        for kind in ("query", "dense")
    ]
    features = module_features(weights)
    assert tuple(features.columns) == learned.features
    shares = learned.shares(learned.margins(features))
    assert (shares > 0).all() and np.isfinite(shares).all()


def test_the_shipped_file_says_how_it_was_made_and_is_small() -> None:
    learned = load_order()
    assert to_json(learned) == SHIPPED.read_text(encoding="utf-8")
    assert SHIPPED.stat().st_size < 12_000
    assert [model.name for model in learned.models] == [
        *("tinystories", "minilm", "antiberty", "mpnet", "smollm2")
    ]
    assert all(model.source and model.kinds and model.weights for model in learned.models)
    assert {"made_by", "seed", "settings", "training_table_sha256", "versions"} <= set(
        learned.about
    )
    # A kind that no model had says nothing: its features have no weight.
    unused = [learned.features.index(name) for name in learned.about["features_without_weight"]]
    assert not learned.comparator.first[unused].any()
    assert not learned.comparator.second[unused].any()
    assert (np.diff(learned.profile) <= 0).all() and learned.profile[-1] > 0
