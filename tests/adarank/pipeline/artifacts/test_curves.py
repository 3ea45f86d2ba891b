"""The small form of training curves: a row a look and split, train's loss since the look before."""

import pandas as pd

from adarank.pipeline.artifacts.curves import looks, rank_history

CURVE = pd.DataFrame(
    {
        "step": [1, 2, 3, 4, 5],
        "train_loss": [1.0, 3.0, 5.0, 7.0, 9.0],
        "validation_loss": [None, 2.5, None, 4.5, None],
        "effective_rank": [None, 1.5, None, 1.25, None],
    }
)


def test_a_look_has_both_splits_and_steps_after_the_last_look_have_no_part() -> None:
    rows = looks({7: CURVE, 8: CURVE}).to_dict("records")
    at_two, at_four = (
        {"seed": 7, "step": s, "effective_rank": r} for s, r in ((2, 1.5), (4, 1.25))
    )
    train = [at_two | {"split": "train", "loss": 2.0}, at_four | {"split": "train", "loss": 6.0}]
    validation = [
        at_two | {"split": "validation", "loss": 2.5},
        at_four | {"split": "validation", "loss": 4.5},
    ]
    assert rows[:4] == train + validation
    assert [row | {"seed": 7} for row in rows[4:]] == rows[:4]


def test_no_curve_at_all_leaves_the_columns() -> None:
    assert list(looks({}).columns) == ["seed", "step", "split", "loss", "effective_rank"]


def test_a_run_without_adapters_has_no_effective_rank() -> None:
    rows = looks({7: CURVE.drop(columns="effective_rank")})
    assert len(rows) == 4 and rows["effective_rank"].isna().all()


def test_every_change_lists_every_module() -> None:
    changes = [
        {"step": 0, "change": "start", "ranks": {"v": 1, "q": 1}},
        {"step": 6, "change": "extend", "ranks": {"v": 1, "q": 3}},
    ]
    table = rank_history(changes)
    assert table.query("step == 6")[["module", "rank"]].to_numpy().tolist() == [["q", 3], ["v", 1]]
    assert len(table) == 4 and list(table["change"].unique()) == ["start", "extend"]
