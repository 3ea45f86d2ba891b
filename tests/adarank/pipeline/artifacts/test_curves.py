"""The small form of training curves: a row a look and split, train's loss since the look before."""

import pandas as pd

from adarank.pipeline.artifacts.curves import looks

CURVE = pd.DataFrame(
    {
        "step": [1, 2, 3, 4, 5],
        "train_loss": [1.0, 3.0, 5.0, 7.0, 9.0],
        "validation_loss": [None, 2.5, None, 4.5, None],
    }
)


def test_a_look_has_both_splits_and_steps_after_the_last_look_have_no_part() -> None:
    told = looks({7: CURVE, 8: CURVE}).to_dict("records")
    train = [{"seed": 7, "step": 2, "split": "train", "loss": 2.0}]
    train += [{"seed": 7, "step": 4, "split": "train", "loss": 6.0}]
    validation = [{"seed": 7, "step": 2, "split": "validation", "loss": 2.5}]
    validation += [{"seed": 7, "step": 4, "split": "validation", "loss": 4.5}]
    assert told[:4] == train + validation
    assert [row | {"seed": 7} for row in told[4:]] == told[:4]


def test_no_curve_at_all_leaves_the_columns() -> None:
    assert list(looks({}).columns) == ["seed", "step", "split", "loss"]
