"""Shortcuts of a training step: taken where they change nothing, and otherwise not."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from peft import PeftModel
from torch import nn

from adarank.models.modules import Module, find_modules
from adarank.tasks.base import Task
from adarank.tasks.registry import make_task
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.lora import attach
from adarank.tuning.shortcuts import last_row
from adarank.tuning.shortcuts.dropout import without_dropout
from adarank.tuning.shortcuts.prefix import GROUP, groups
from adarank.tuning.shortcuts.shortcuts import PrefixStore, Taken, shortcuts
from tests.architectures import CONFIGS, pico, pico_batch, save_pico
from tests.pico import WORDS, pico_rows, pico_tokenizer
from tests.plans import make_plan

LABELS = ["who", "what", "where"]
CLASSES = make_task({"type": "classification", "labels": LABELS}, pico_tokenizer(), 32)
TEXTS = make_task({"type": "causal_lm"}, pico_tokenizer(), 32)
SETTINGS = Settings(
    learning_rate=1e-2, schedule=Schedule("constant"), steps=8, batch_size=8, evaluate_every=4
)
CASES = {"bert": CLASSES, "distilbert": CLASSES, "llama": CLASSES, "gpt2": CLASSES}


def rows_of(task: Task) -> list[dict[str, Any]]:
    frame = pico_rows(24)
    if task is TEXTS:
        frame = pd.DataFrame({"prompt": frame["text"], "response": WORDS[:24]})
    return task.encode(frame).examples


def built(
    folder: Path,
    task: Task = CLASSES,
    *,
    dropout: bool = False,
    rank: Callable[[Module], int] = lambda module: 2 * module.block,
) -> tuple[PeftModel, list[Module]]:
    headed = task.build(folder, 0)
    if not dropout:
        without_dropout(headed.model)
    modules = find_modules(headed.model)
    plan = make_plan(folder, rank)
    return attach(headed, plan, peft_type=task.peft_type, dropout=0.0, seed=0), modules


def trained(
    folder: Path, store: PrefixStore | None, task: Task = CLASSES, **how: Any
) -> tuple[pd.DataFrame, Taken]:
    """The curve of a run of three epochs, with shortcuts (a store) or without."""
    model, modules = built(folder, task, **how)
    rows = rows_of(task)
    context = (
        nullcontext(Taken()) if store is None else shortcuts(model, modules, task, rows, store)
    )
    with context as taken:
        curve = train(model, task, rows, rows[:6], SETTINGS, 0).curve
    assert not any("forward" in part.__dict__ for part in model.modules())
    return curve, taken


@pytest.mark.parametrize("name", CASES)
def test_the_curve_is_that_of_the_whole_model(name: str, tmp_path: Path):
    folder = save_pico(name, tmp_path)
    short, taken = trained(folder, PrefixStore())
    whole, _ = trained(folder, None)
    assert taken == Taken(prefix_blocks=1, last_row=True)
    pd.testing.assert_frame_equal(short, whole, rtol=1e-4, atol=1e-6)


def test_a_model_that_writes_keeps_its_last_block_and_has_a_prefix(tmp_path: Path):
    folder = save_pico("llama", tmp_path)
    short, taken = trained(folder, PrefixStore(), TEXTS)
    whole, _ = trained(folder, None, TEXTS)
    assert taken == Taken(prefix_blocks=1, last_row=False)
    pd.testing.assert_frame_equal(short, whole, rtol=1e-4, atol=1e-6)


def test_frozen_blocks_run_no_more_and_the_last_computes_one_token(tmp_path: Path):
    model, modules = built(save_pico("bert", tmp_path))
    layers = model.get_base_model().get_submodule("bert.encoder.layer")
    rows, seen = rows_of(CLASSES), []

    def note(layer: nn.Module, inputs: Any, _output: Any) -> None:
        seen.append((layer, inputs[0].shape[1]))

    with shortcuts(model, modules, CLASSES, rows, PrefixStore()):
        first, last = layers[0].output.dense, layers[1].output.dense.base_layer
        for layer in (first, last):
            layer.register_forward_hook(note)
        train(model, CLASSES, rows, rows[:6], SETTINGS, 0)
    assert {layer for layer, _ in seen} == {last}
    assert {tokens for _, tokens in seen} == {1}


def test_a_second_run_finds_the_same_bits_as_one_that_comes_first(tmp_path: Path):
    folder, store = save_pico("bert", tmp_path), PrefixStore()
    first, _ = trained(folder, store)
    stored = {key: states.clone() for key, states in store.by_blocks[1].items()}
    second, _ = trained(folder, store)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    texts = {tuple(row["input_ids"]) for row in rows_of(CLASSES)}
    assert len(stored) == len(texts)
    assert all(torch.equal(states, store.by_blocks[1][key]) for key, states in stored.items())


def test_the_models_own_dropout_keeps_the_prefix_and_changes_nothing(tmp_path: Path):
    folder = save_pico("bert", tmp_path)
    short, taken = trained(folder, PrefixStore(), dropout=True)
    whole, _ = trained(folder, None, dropout=True)
    (note,) = taken.notes
    assert "random" in note and "base_dropout: false" in note and not taken.prefix_blocks
    assert taken.last_row
    pd.testing.assert_frame_equal(short, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("store", "said"),
    [
        (PrefixStore(limit_gb=1e-9), "more than finetune.prefix_cache_gb"),
        (PrefixStore(passes=1.5), "each row 1.5 times"),
        (PrefixStore(limit_gb=0), None),
    ],
)
def test_a_store_too_small_or_of_no_use_stays_empty(
    store: PrefixStore, said: str | None, tmp_path: Path
):
    _, taken = trained(save_pico("bert", tmp_path), store)
    assert not taken.prefix_blocks and not any(store.by_blocks.values())
    assert [said in note for note in taken.notes] == ([True] if said else [])


@pytest.mark.parametrize("name", ["albert", "bart"])
def test_other_structures_are_trained_whole(name: str, tmp_path: Path):
    folder = save_pico(name, tmp_path)
    _, taken = trained(folder, PrefixStore(), rank=lambda _: 1)
    assert not taken.prefix_blocks
    assert taken.last_row == (name == "bart")


def test_a_shortcut_that_would_be_wrong_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = save_pico("bert", tmp_path)
    second = lambda _model, batch: torch.ones(len(batch["input_ids"]), dtype=torch.long)  # noqa: E731
    monkeypatch.setattr(last_row, "summary_rows", second)
    short, taken = trained(folder, PrefixStore())
    whole, _ = trained(folder, None)
    assert not taken.last_row
    pd.testing.assert_frame_equal(short, whole, rtol=1e-4, atol=1e-6)


def test_what_is_trained_before_the_blocks_keeps_them_computed(tmp_path: Path):
    model, modules = built(save_pico("bert", tmp_path))
    model.get_base_model().get_submodule("bert.embeddings").requires_grad_(True)
    with shortcuts(model, modules, CLASSES, rows_of(CLASSES), PrefixStore()) as taken:
        assert not taken.prefix_blocks and "is trained" in taken.notes[0]


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "vit"])
def test_without_dropout_a_model_in_training_is_deterministic(name: str):
    model = pico(name).train()
    without_dropout(model)
    with torch.no_grad():
        outputs = [model(**pico_batch(name)).last_hidden_state for _ in range(2)]
    assert torch.equal(*outputs)


def test_groups_hold_rows_of_one_length_in_a_fixed_order():
    rows = [{"input_ids": [1] * (n % 3 + 1), "row": n} for n in range(100)]
    found = list(groups(rows))
    assert sorted(row["row"] for group in found for row in group) == list(range(100))
    assert all(len({len(row["input_ids"]) for row in group}) == 1 for group in found)
    assert max(map(len, found)) == GROUP and found == list(groups(rows))
