"""The tasks by name: the catalogue that needs no torch, and the classes that do."""

from typing import Any

import pytest
import torch
from transformers import AutoModel

from adarank import score
from adarank.errors import InputError
from adarank.tasks.catalogue import TASKS
from adarank.tasks.registry import CLASSES, make_task
from tests.pico import pico_bert_config, pico_gpt2_config, pico_t5_config, pico_tokenizer

DESCRIPTIONS: dict[str, dict[str, Any]] = {
    "classification": {"labels": ["who", "what"]},
    "regression": {"target_mean": 1.0, "target_sd": 2.0},
    "causal_lm": {},
    "seq2seq": {"labels": ["red", "blue"]},
}
CONFIGS = {
    "classification": pico_bert_config,
    "regression": pico_bert_config,
    "causal_lm": pico_gpt2_config,
    "seq2seq": pico_t5_config,
}


def test_the_catalogue_and_the_classes_name_the_same_tasks():
    assert list(TASKS) == list(CLASSES) == list(DESCRIPTIONS)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_made_from_its_description(name: str):
    task = make_task({"type": name} | DESCRIPTIONS[name], pico_tokenizer(), 32)
    assert isinstance(task, CLASSES[name])
    assert "loss" in task.better and task.better["loss"] == "lower"
    assert task.headline in task.better
    assert set(task.better.values()) <= {"lower", "higher"}


def test_a_tokenizer_that_can_neither_pad_nor_end_is_refused():
    tokenizer = pico_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token = None
    with pytest.raises(InputError, match="neither pad nor end"):
        make_task({"type": "causal_lm"}, tokenizer, 32)
    tokenizer.eos_token = "[SEP]"
    make_task({"type": "causal_lm"}, tokenizer, 32)
    assert tokenizer.pad_token == "[SEP]"


def test_a_tokenizer_without_a_limit_sets_none():
    tokenizer = pico_tokenizer()
    tokenizer.model_max_length = 10**30
    make_task({"type": "seq2seq", "labels": []}, tokenizer, 5000)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("estimator", ["exact", "linearized"])
def test_the_output_of_every_task_can_be_scored(name: str, estimator: str):
    torch.manual_seed(0)
    model = AutoModel.from_config(CONFIGS[name]()).eval()
    probe = ["who is the king", "where is the old red river ?"]
    settings = {"trials": 1} if estimator == "exact" else {}
    table = score(
        model,
        probe,
        pico_tokenizer(),
        estimator=estimator,
        max_length=16,
        output=TASKS[name].output,
        **settings,
    )
    assert (table["score"] > 0).all()
    assert len(table) == {"causal_lm": 8, "seq2seq": 32}.get(name, 12)
