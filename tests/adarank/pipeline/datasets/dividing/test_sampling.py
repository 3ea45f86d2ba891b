"""Rows drawn from a split, of each class its share."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adarank.errors import InputError
from adarank.pipeline.datasets.dividing.sampling import quotas, sample
from adarank.pipeline.datasets.dividing.splits import Division
from adarank.pipeline.datasets.rows.labels import labels
from tests.rows import raw, rules


def table(counts: list[int]) -> pd.DataFrame:
    ids = [label for label, n in enumerate(counts) for _ in range(n)]
    return pd.DataFrame({"text": [f"t{i}" for i in range(len(ids))], "label": ids})


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.data())
def test_quotas_are_shares(counts, data):
    counts = np.array([*counts, 1])
    rows = data.draw(st.integers(1, int(counts.sum())))
    found, shares = quotas(counts, rows), rows * counts / counts.sum()
    assert found.sum() == rows
    assert (found <= counts).all() and (found >= 0).all()
    if rows >= (counts > 0).sum():
        assert (found[counts > 0] > 0).all()
    small = (shares > 0) & (shares < 1)
    assert (found[~small] <= np.ceil(shares[~small])).all()


def test_sorted_rows_keep_their_classes_and_order():
    frame = table([60, 30, 30])
    drawn = sample(frame, 40, 0, "train")
    assert drawn["label"].value_counts().to_dict() == {0: 20, 1: 10, 2: 10}
    assert drawn["text"].map(lambda t: int(t[1:])).is_monotonic_increasing
    assert drawn.equals(sample(frame, 40, 0, "train"))
    assert not drawn.equals(sample(frame, 40, 1, "train"))
    assert sample(frame, 120, 0, "train").equals(frame)
    assert sample(frame, None, 0, "train") is frame


def test_rows_without_classes_are_drawn_at_random():
    frame = pd.DataFrame({"response": [f"t{i}" for i in range(50)]})
    drawn = sample(frame, 10, 0, "train")
    assert drawn["response"].nunique() == 10
    assert list(drawn["response"]) != [f"t{i}" for i in range(10)]


@pytest.mark.parametrize(
    ("split", "rows", "expected"),
    [("train", 13, "at most 12, its usable rows"), ("train", 2, "at least 3"), ("test", 99, "12")],
)
def test_numbers_of_rows_that_cannot_be(split, rows, expected):
    with pytest.raises(InputError) as caught:
        sample(table([6, 3, 3]), rows, 0, split)
    (problem,) = caught.value.problems
    assert problem.where == f"dataset.{split}_rows"
    assert expected in problem.expected


def test_every_split_is_limited_and_no_label_of_test_is_unseen():
    ordered = [(f"text {i}", "ab"[i >= 60]) for i in range(120)]
    division = Division({"validation": 0.1}, {"train": 40, "validation": 2, "test": 10})
    found = labels(raw(train=ordered, test=ordered[::-1]), rules(division=division))
    counts = {s: t["label"].value_counts().to_dict() for s, t in found.frames.items()}
    assert counts == {"train": {0: 18, 1: 18}, "validation": {0: 1, 1: 1}, "test": {0: 5, 1: 5}}
