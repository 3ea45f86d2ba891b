"""Wrong labels on purpose: so many rows of train, evenly over the other classes, and said."""

import numpy as np
import pandas as pd
import pytest

from adarank.pipeline.datasets.rows.labels import labels
from adarank.pipeline.datasets.rows.noise import flip, noise_in_words
from tests.rows import raw, rules

ROWS = pd.DataFrame({"text": [f"t{i}" for i in range(3000)], "label": [0, 1, 2] * 1000})


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.999])
def test_exactly_the_share_is_flipped_and_always_to_another_class(share):
    noisy = flip(ROWS, share, seed=3, classes=3)
    assert (noisy["label"] != ROWS["label"]).sum() == round(share * 3000)
    assert noisy["text"].equals(ROWS["text"]) and set(noisy["label"]) <= {0, 1, 2}
    assert noisy["label"].dtype == ROWS["label"].dtype


def test_rows_of_one_class_get_the_others() -> None:
    noisy = flip(ROWS.assign(label=0), 0.5, seed=0, classes=3)
    assert {*noisy["label"]} == {0, 1, 2} and (noisy["label"] != 0).sum() == 1500


def test_new_classes_are_even_and_the_seed_decides():
    noisy = flip(ROWS, 0.6, seed=0, classes=3)
    wrong = noisy["label"] != ROWS["label"]
    moved = ((noisy["label"] - ROWS["label"]) % 3)[wrong]
    assert np.mean(moved == 1) == pytest.approx(0.5, abs=0.05)
    assert flip(ROWS, 0.6, seed=0, classes=3).equals(noisy) and not flip(
        ROWS, 0.6, seed=1, classes=3
    ).equals(noisy)


def test_only_train_is_noisy_and_the_note_says_so():
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(40)]
    source = raw(train=rows, validation=rows, test=rows)
    clean, noisy = labels(source, rules()), labels(source, rules(label_noise=0.25))
    assert noisy.note["label_noise"] == {"share": 0.25, "rows": 10}
    assert "label_noise" not in clean.note
    for split in ("validation", "test"):
        assert noisy.frames[split].equals(clean.frames[split])
    assert (noisy.frames["train"]["label"] != clean.frames["train"]["label"]).sum() == 10


def test_it_is_said_in_words():
    said = noise_in_words({"label_noise": {"share": 0.25, "rows": 10}, "rows": {"train": 40}})
    assert said == ["10 of 40 labels of train are wrong on purpose (label_noise)"]
    assert noise_in_words({"rows": {"train": 40}}) == []
