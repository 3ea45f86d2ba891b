"""Texts that splits share, and carving that keeps them together."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from adarank.errors import InputError
from adarank.pipeline.datasets.dividing.overlap import shared_in_words, shared_texts, text_of
from adarank.pipeline.datasets.dividing.splits import carve
from tests.rows import carved


def table(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"text": list(texts), "label": 0})


def test_named_splits_are_compared_pair_by_pair():
    frames = {
        "train": table("a b", "c", "c"),
        "validation": table("c", "d", "d"),
        "test": table("A  b ", "a b", "d", "e"),
    }
    shared = shared_texts(frames)
    assert shared == {
        "validation": {"train": {"texts": 1, "rows": 1}},
        "test": {"train": {"texts": 1, "rows": 2}, "validation": {"texts": 1, "rows": 1}},
    }
    assert shared_in_words(shared, {"validation": 3, "test": 4}) == [
        "1 of 3 rows of validation (33.3 %) have a text that train has, too (1 texts)",
        "2 of 4 rows of test (50.0 %) have a text that train has, too (1 texts)",
        "1 of 4 rows of test (25.0 %) have a text that validation has, too (1 texts)",
    ]
    assert shared_texts({"train": table("a"), "test": table("b")}) == {}


def test_a_pair_is_one_text_and_so_is_a_prompt_with_its_response():
    pairs = pd.DataFrame({"text": ["a", "a"], "pair": ["b", "c"]})
    prompts = pd.DataFrame({"prompt": ["a", "a"], "response": ["b", "c"]})
    assert text_of(pairs) == text_of(prompts) == ["a\0b", "a\0c"]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=8, max_size=80),
    st.booleans(),
    st.floats(0.05, 0.24),
    st.integers(0, 3),
)
def test_no_text_is_torn_apart_and_train_keeps_every_label(rows, labelled, fraction, seed):
    frame = pd.DataFrame({"text": [f"t{n}" for n, _ in rows], "row": range(len(rows))})
    if labelled:
        ids = sorted({label for _, label in rows})
        frame = frame.assign(label=[ids.index(label) for _, label in rows])
    try:
        parts = carve({"train": frame}, carved(fraction, fraction, seed))
    except InputError:
        return
    assert shared_texts(parts) == {}
    assert sorted(n for part in parts.values() for n in part["row"]) == list(range(len(rows)))
    for part in parts.values():
        assert part["row"].is_monotonic_increasing
    if labelled:
        assert set(parts["train"]["label"]) == set(frame["label"])


def test_a_text_of_several_labels_stays_where_train_would_lose_one():
    # Label 0 is in one text alone, which counts for the rarer label 1.
    rows = [("a", 0)] * 9 + [("a", 1)] + [(f"b{i}", 1) for i in range(7)]
    rows += [(f"c{i}", 2) for i in range(20)]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    for seed in range(12):
        parts = carve({"train": frame}, carved(0.24, 0.24, seed))
        assert set(parts["train"]["label"]) == {0, 1, 2}


def test_twice_the_rows_are_twice_the_split():
    frame = pd.DataFrame({"text": [f"t{i // 2}" for i in range(120)]})
    frame = frame.assign(label=[i // 2 % 2 for i in range(120)])
    parts = carve({"train": frame}, carved(0.1, 0.2))
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 84,
        "validation": 12,
        "test": 24,
    }
    assert parts["test"]["label"].value_counts().to_dict() == {0: 12, 1: 12}
