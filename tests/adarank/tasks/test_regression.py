"""The regression task: numbers in train's units, and metrics in the targets' own."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_squared_error

from adarank.errors import InputError
from adarank.tasks.base import Task
from adarank.tasks.options import Options
from adarank.tasks.registry import make_task
from tests.learning import learned, predicted
from tests.pico import pico_rows, pico_tokenizer

MEAN, DEVIATION = 3000.0, 500.0
NOTE = {"type": "regression", "target_mean": MEAN, "target_sd": DEVIATION}


def regression(max_length: int = 32, **options: Any) -> Task:
    return make_task(NOTE, pico_tokenizer(), max_length, Options(**options))


def number_rows(n: int, seed: int = 0) -> pd.DataFrame:
    """Rows whose target is told by the first word, far from 0 and widely spread."""
    rows = pico_rows(n, seed=seed)
    return pd.DataFrame({"text": rows["text"], "target": 2400.5 + 600.0 * rows["label"]})


def table(label: list[float], predicted: list[float]) -> pd.DataFrame:
    loss = np.square(np.subtract(predicted, label) / DEVIATION)
    return pd.DataFrame({"label": label, "predicted": predicted, "loss": loss})


def test_metrics_are_the_libraries_own():
    generator = np.random.default_rng(0)
    label = generator.normal(MEAN, DEVIATION, 40)
    guess = label + generator.normal(0, 300, 40)
    got = regression().metrics(table(label.tolist(), guess.tolist()))
    assert list(got) == list(regression().better)
    assert got["mae"] == pytest.approx(mean_absolute_error(label, guess))
    assert got["rmse"] == pytest.approx(math.sqrt(mean_squared_error(label, guess)))
    assert got["loss"] == pytest.approx((got["rmse"] / DEVIATION) ** 2)
    assert got["pearson"] == pytest.approx(np.corrcoef(label, guess)[0, 1])
    ranks = stats.rankdata(label), stats.rankdata(guess)
    assert got["spearman"] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_correlations_are_none_where_nothing_varies():
    for label, guess in (([1.0, 1.0], [0.0, 2.0]), ([0.0, 2.0], [1.0, 1.0]), ([1.0], [2.0])):
        got = regression().metrics(table(label, guess))
        assert got["pearson"] is None and got["spearman"] is None
        json.dumps(got, allow_nan=False)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_model_gone_wrong_shows_in_the_loss(bad: float):
    with np.errstate(invalid="ignore"):
        got = regression().metrics(table([1.0, 2.0, 3.0], [1.0, bad, 2.0]))
    assert not math.isfinite(got["loss"])


@pytest.mark.parametrize("kind", ["mse", "mae"])
def test_loss_and_predictions_are_the_plain_formulas(pico_model: Path, kind: str):
    task, rows = regression(loss=kind), number_rows(9)
    headed = task.build(pico_model, 0)
    assert headed.head == ("classifier",)
    model = headed.model.eval()
    with torch.no_grad():
        answers = [
            model(**pico_tokenizer()(text, return_tensors="pt")).logits.item()
            for text in rows["text"]
        ]
    units = torch.tensor((rows["target"].to_numpy() - MEAN) / DEVIATION)
    each = {"mse": torch.nn.MSELoss(reduction="none"), "mae": torch.nn.L1Loss(reduction="none")}
    expected = each[kind](torch.tensor(answers, dtype=torch.float64), units)
    batch = task.collate(task.encode(rows).examples)
    loss = task.loss(model, batch)
    assert loss.item() == pytest.approx(expected.mean().item(), rel=1e-5) and loss.requires_grad
    got = predicted(model, task, rows, batch_size=4)
    assert got["label"].tolist() == rows["target"].tolist()
    assert got["predicted"].tolist() == pytest.approx(
        [answer * DEVIATION + MEAN for answer in answers], rel=1e-6
    )
    assert got["loss"].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"loss": "mae"}, {"hidden": 24}])
def test_it_learns_and_reloads(pico_model: Path, tmp_path: Path, options: dict[str, Any]):
    task = regression(**options)
    result = learned(task, pico_model, tmp_path, number_rows(30), number_rows(12, seed=1), 30)
    before, after = task.metrics(result.before), task.metrics(result.after)
    assert after["loss"] < 0.6 * before["loss"] and after["pearson"] > 0.7
    pd.testing.assert_frame_equal(result.after, result.reloaded)


def test_a_hidden_layer_comes_before_the_number(pico_model: Path):
    model = regression(hidden=24).build(pico_model, 0).model
    shapes = [tuple(p.shape) for p in model.classifier.parameters()]
    assert shapes == [(24, 32), (24,), (1, 24), (1,)]


def test_pairs_are_read_together():
    rows = pd.DataFrame({"text": ["who is"], "pair": ["the king"], "target": [3.8]})
    example = regression().encode(rows).examples[0]
    assert example["input_ids"] == pico_tokenizer()("who is", "the king")["input_ids"]
    # Not the float32 nearest to it.
    assert regression().collate([example])["labels"].tolist() == [3.8]


def test_numbers_are_not_drawn_as_a_confusion():
    got = regression().confusion(table([1.0, 2.0], [1.0, 3.0]))
    assert got.empty and list(got.columns) == ["actual", "predicted"]


def test_descriptions_that_leave_nothing_to_learn_are_refused():
    with pytest.raises(InputError, match="same number"):
        make_task(NOTE | {"target_sd": 0.0}, pico_tokenizer(), 32)
    for broken in ({"type": "regression"}, NOTE | {"target_mean": math.nan}):
        with pytest.raises(InputError, match="target_mean"):
            make_task(broken, pico_tokenizer(), 32)
