"""Splits carved from train."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adarank.errors import InputError
from adarank.pipeline.datasets.dividing.splits import carve
from tests.rows import carved


def numbered(counts: list[int]) -> pd.DataFrame:
    """Rows of each class as counted, mixed, each text once."""
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    table = pd.DataFrame({"text": [f"t{i}" for i in range(len(labels))], "label": labels})
    return table.sample(frac=1, random_state=3).reset_index(drop=True)


def unlabelled(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"prompt": "", "response": [f"t{i}" for i in range(rows)]})


def test_a_carved_split_is_stratified_and_in_order():
    train = numbered([100, 50, 10, 1])
    parts = carve({"train": train}, carved(0.1))
    counts = parts["validation"]["label"].value_counts().to_dict()
    assert counts == {0: 10, 1: 5, 2: 1}
    position = {text: index for index, text in enumerate(train["text"])}
    for part in parts.values():
        places = [position[text] for text in part["text"]]
        assert places == sorted(places)
    assert set(parts["train"]["label"]) == {0, 1, 2, 3}


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.floats(0.02, 0.24),
    st.floats(0.02, 0.24),
    st.booleans(),
    st.integers(0, 5),
)
def test_no_row_is_in_two_parts_or_lost(counts, validation, test, labelled, seed):
    train = numbered(counts) if labelled else numbered(counts).drop(columns="label")
    try:
        parts = carve({"train": train}, carved(validation, test, seed))
    except InputError:
        return
    assert list(parts) == ["train", "validation", "test"]
    texts = [text for part in parts.values() for text in part["text"]]
    assert sorted(texts) == sorted(train["text"])
    if labelled:
        assert set(parts["train"]["label"]) == set(range(len(counts)))
    else:
        assert len(parts["validation"]) == round(validation * len(train))
        assert len(parts["test"]) == round(test * len(train))


def test_a_carved_test_split_leaves_the_carved_validation_split_as_it_was():
    train = numbered([40, 20])
    alone = carve({"train": train}, carved(0.1))
    both = carve({"train": train}, carved(0.1, 0.2))
    assert both["validation"].equals(alone["validation"])
    assert both["test"]["label"].value_counts().to_dict() == {0: 8, 1: 4}


def test_splits_that_are_there_stay():
    there = {"train": numbered([20, 20]), "test": numbered([1, 1])}
    parts = carve(there, carved(0.2))
    assert parts["test"] is there["test"]
    assert len(parts["validation"]) == 8


@pytest.mark.parametrize("train", [numbered([40, 40]), unlabelled(80)], ids=["labels", "none"])
def test_carving_follows_its_seed(train):
    drawn = [carve({"train": train}, carved(0.25, seed=seed))["validation"] for seed in (1, 1, 2)]
    assert drawn[0].equals(drawn[1])
    assert not drawn[0].equals(drawn[2])


def test_rows_without_ids_are_drawn_at_random():
    train = numbered([30, 30]).assign(label=np.int64(-1))
    parts = carve({"train": train}, carved(0.1, 0.1))
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 48,
        "validation": 6,
        "test": 6,
    }


@pytest.mark.parametrize("train", [numbered([5, 5, 5]), numbered([1, 1]), unlabelled(4)])
def test_too_few_rows_to_carve_from(train):
    with pytest.raises(InputError, match="validation_fraction"):
        carve({"train": train}, carved(0.1))


def test_too_few_rows_for_a_test_split():
    with pytest.raises(InputError) as caught:
        carve({"train": numbered([20, 20])}, carved(0.2, 0.01))
    (problem,) = caught.value.problems
    assert problem.where == "dataset.test_fraction"
    assert problem.got == "0.01 of 40 rows is 0"
    assert problem.expected == "at least 2 rows, one a label"
