"""Every task's headline metric is one that comparisons know, and gives the task's own number."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from adarank.tasks.causal_lm import CausalLM
from adarank.tasks.classification import Classification
from adarank.tasks.measures import HEADLINES
from adarank.tasks.registry import CLASSES
from adarank.tasks.regression import Regression
from adarank.tasks.seq2seq import Seq2Seq

NO_TOKENIZER: Any = None

TASKS: list[Any] = [
    Classification(("a", "b", "c"), NO_TOKENIZER, 8),
    Regression(NO_TOKENIZER, 8),
    CausalLM(NO_TOKENIZER, 8),
    Seq2Seq(NO_TOKENIZER, 8),
    Seq2Seq(NO_TOKENIZER, 8, labels=("a", "b", "c"), words=("a", "b", "c")),
]


def predictions() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(3, size=(2, 30))
    columns = {"label": label, "predicted": predicted, "exact": label == predicted}
    columns |= {"nats": rng.random(30), "tokens": rng.integers(0, 5, size=30), "bytes": label + 1}
    columns |= {"loss": rng.random(30)} | {f"p_{k}": rng.random(30) for k in range(3)}
    return pd.DataFrame(columns)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{type(task).__name__}-{task.headline}")
def test_a_headline_is_what_the_bootstrap_measures(task: Any) -> None:
    table = predictions()
    assert task.metrics(table)[task.headline] == HEADLINES[task.headline](table)


def test_every_task_is_here() -> None:
    assert {type(task) for task in TASKS} == set(CLASSES.values())
