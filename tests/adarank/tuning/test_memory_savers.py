"""Less memory, the same training: divided batches, checkpointed blocks, bases of other forms."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from peft import PeftModel
from torch import Tensor

from adarank.errors import InputError
from adarank.models.form import FLOAT32, BaseForm, check_quantization
from adarank.models.modules import find_modules
from adarank.pipeline.artifacts.model import load_model
from adarank.pipeline.running.settings import checked_form
from adarank.tasks.base import Task
from adarank.tasks.options import Options
from adarank.tasks.registry import make_task
from adarank.tuning.loop.batches import divided
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.loop.watch import Trained
from adarank.tuning.lora import attach
from adarank.tuning.saving import verify_saved
from adarank.tuning.shortcuts.checkpointing import checkpoint_blocks
from adarank.tuning.shortcuts.dropout import without_dropout
from adarank.tuning.shortcuts.shortcuts import PrefixStore, shortcuts
from adarank.tuning.tuners.base import Start
from adarank.tuning.tuners.registry import TUNERS
from tests.architectures import CONFIGS, save_pico
from tests.pico import WORDS, pico_rows, pico_tokenizer, save_pico_model
from tests.plans import make_plan

LABELS = ["who", "what", "where"]
CLASSES = make_task({"type": "classification", "labels": LABELS}, pico_tokenizer(), 32)
TEXTS = make_task({"type": "causal_lm"}, pico_tokenizer(), 32)
SETTINGS = Settings(
    learning_rate=1e-2, schedule=Schedule("constant"), steps=4, batch_size=8, evaluate_every=4
)
BFLOAT16 = BaseForm("bfloat16")


def rows_of(task: Task) -> list[dict[str, Any]]:
    frame = pico_rows(24)
    if task is TEXTS:
        words = [" ".join(WORDS[: 1 + index % 7]) for index in range(24)]
        frame = pd.DataFrame({"prompt": frame["text"], "response": words})
    return task.encode(frame).examples


def run(
    folder: Path,
    task: Task,
    *,
    form: BaseForm = FLOAT32,
    checkpointing: bool = False,
    shortened: bool = False,
    rank: Any = lambda module: 2 * module.block,
    **changed: Any,
) -> tuple[PeftModel, Trained]:
    headed = task.build(folder, 0, form)
    without_dropout(headed.model)
    modules = find_modules(headed.model)
    plan = make_plan(folder, rank)
    model = attach(headed, plan, peft_type=task.peft_type, dropout=0.0, seed=0)
    if checkpointing:
        checkpoint_blocks(headed.model)
    rows, settings = rows_of(task), replace(SETTINGS, **changed)
    if not shortened:
        return model, train(model, task, rows, rows[:8], settings, 0)
    with shortcuts(model, modules, task, rows, PrefixStore()) as taken:
        assert taken.prefix_blocks == 1 and taken.last_row == (task is CLASSES), taken
        return model, train(model, task, rows, rows[:8], settings, 0)


def trained_weights(model: PeftModel) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def same(one: tuple[PeftModel, Trained], other: tuple[PeftModel, Trained]) -> None:
    for column in ("train_loss", "gradient_norm"):
        assert one[1].curve[column].tolist() == pytest.approx(other[1].curve[column], rel=1e-4)
    weights = trained_weights(other[0])
    for name, parameter in trained_weights(one[0]).items():
        torch.testing.assert_close(parameter, weights[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(("name", "task"), [("bert", CLASSES), ("llama", TEXTS)])
def test_a_divided_batch_trains_as_the_whole_one(name: str, task: Task, tmp_path: Path) -> None:
    folder = save_pico(name, tmp_path)
    # Texts differ in labelled tokens, so equal weights for the parts would show.
    same(run(folder, task, accumulation=3), run(folder, task))


def test_shares_are_of_what_the_loss_is_a_mean_of(tmp_path: Path) -> None:
    model = TEXTS.build(save_pico("llama", tmp_path), 0).model
    batch = TEXTS.collate(rows_of(TEXTS)[:5])
    batch["labels"][0] = -100
    parts = list(divided(model, batch, 5))
    assert len(parts) == 4 and sum(share for _, share in parts) == pytest.approx(1)
    mean = sum(TEXTS.loss(model, part).item() * share for part, share in parts)
    assert mean == pytest.approx(TEXTS.loss(model, batch).item(), rel=1e-6)
    assert len(list(divided(model, batch, 99))) == 4
    nothing = batch | {"labels": torch.full_like(batch["labels"], -100)}
    assert [share for _, share in divided(model, nothing, 5)] == [1.0]


@pytest.mark.parametrize(("name", "task"), [("bert", CLASSES), ("llama", TEXTS)])
@pytest.mark.parametrize("shortened", [False, True])
def test_checkpointed_blocks_train_the_same(
    name: str, task: Task, shortened: bool, tmp_path: Path
) -> None:
    folder = save_pico(name, tmp_path)
    checkpointed = run(folder, task, checkpointing=True, shortened=shortened)
    same(checkpointed, run(folder, task))
    inner = checkpointed[0].get_base_model()
    assert inner.is_gradient_checkpointing


@pytest.mark.parametrize("name", ["bert", "distilbert", "llama"])
def test_a_base_in_bfloat16_has_float32_adapters_and_head(name: str, tmp_path: Path) -> None:
    folder = save_pico(name, tmp_path)
    model, trained = run(folder, CLASSES, form=BFLOAT16, steps=20, evaluate_every=20)
    assert {p.dtype for p in trained_weights(model).values()} == {torch.float32}
    frozen = {p.dtype for p in model.parameters() if not p.requires_grad and p.is_floating_point()}
    assert torch.bfloat16 in frozen
    losses = trained.curve["train_loss"]
    plain = run(folder, CLASSES, steps=20, evaluate_every=20)[1].curve["train_loss"]
    assert losses[0] == pytest.approx(plain[0], rel=2e-2) and losses[0] != plain[0]
    assert losses.iloc[-3:].mean() < losses.iloc[:3].mean()


@pytest.mark.parametrize("tuner", sorted(set(TUNERS) - {"full", "adalora"}))
def test_every_tuner_of_adapters_trains_on_bfloat16_and_reads_back(
    tuner: str, pico_model: Path, tmp_path: Path
) -> None:
    task, rows = CLASSES, rows_of(CLASSES)
    plan, method = make_plan(pico_model, lambda _: 2, tuner=tuner), TUNERS[tuner]
    headed = task.build(pico_model, 0, BFLOAT16)
    begun = Start(task, rows, steps=8, batch_size=8, dropout=0.0, seed=0)
    model = method.attach(headed, plan, begun)
    settings = replace(SETTINGS, steps=8)
    train(model, task, rows, rows[:8], settings, 0, during=method.during(model, plan, begun))
    method.save(model, tmp_path / "saved")
    verify_saved(
        method, model, plan, tmp_path / "saved", lambda: task.build(pico_model, 0, BFLOAT16)
    )
    assert {tensor.dtype for tensor in method.state(model).values()} == {torch.float32}


def test_a_hidden_layer_of_the_head_is_given_float32(pico_model: Path) -> None:
    description = {"type": "classification", "labels": LABELS}
    task = make_task(description, pico_tokenizer(), 32, Options(hidden=24))
    model = task.build(pico_model, 0, BFLOAT16).model
    assert task.loss(model, task.collate(rows_of(CLASSES)[:3])).dtype == torch.float32


def test_a_model_is_loaded_for_scoring_in_the_dtype_asked_for(pico_model: Path) -> None:
    for form, dtype in ((BFLOAT16, torch.bfloat16), (BaseForm("stored"), torch.float32)):
        assert {p.dtype for p in load_model(pico_model, form=form).parameters()} == {dtype}


@pytest.mark.parametrize("tuner", ["full", "adalora"])
def test_some_tuners_need_float32(tuner: str) -> None:
    with pytest.raises(InputError, match=r"(?s)model\.dtype.*bfloat16"):
        checked_form(BFLOAT16, tuner)
    assert checked_form(BFLOAT16, "lora") == BFLOAT16


@pytest.mark.parametrize("form", [BFLOAT16, BaseForm("stored"), BaseForm(quantization="8bit")])
def test_biases_and_norms_are_trained_in_float32_alone(form: BaseForm) -> None:
    with pytest.raises(InputError, match=r"(?s)model\.dtype.*small steps are lost"):
        checked_form(form, "lora", bias_norm=True)
    assert checked_form(FLOAT32, "lora", bias_norm=True) == FLOAT32


def test_packing_without_the_package_names_it(
    monkeypatch: pytest.MonkeyPatch, pico_model: Path
) -> None:
    monkeypatch.setattr("adarank.models.form.find_spec", lambda _: None)
    wanted = r"(?s)model\.quantization.*4bit.*pip install bitsandbytes"
    for attempt in (
        lambda: check_quantization("4bit"),
        lambda: checked_form(BaseForm(quantization="4bit"), "lora"),
        lambda: CLASSES.build(pico_model, 0, BaseForm(quantization="4bit")),
    ):
        with pytest.raises(InputError, match=wanted):
            attempt()


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="no bitsandbytes")
@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_adapters_train_on_a_packed_base(quantization: Any, tmp_path: Path) -> None:
    config: Any = CONFIGS["llama"]()
    # Packed in blocks of 64.
    config.vocab_size, config.hidden_size, config.intermediate_size = 60, 128, 256
    config.head_dim = config.hidden_size // config.num_attention_heads
    folder = save_pico_model(tmp_path, config)
    form = BaseForm("bfloat16", quantization)
    model, trained = run(folder, CLASSES, form=form, steps=8)
    assert trained.curve["train_loss"].notna().all()
    assert any(not p.is_floating_point() for p in model.parameters())
    assert {p.dtype for p in trained_weights(model).values()} == {torch.float32}
