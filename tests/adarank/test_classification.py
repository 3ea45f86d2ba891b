"""The classification task: its head, its batches, its predictions and its metrics."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertModel,
    GPT2Config,
)

from adarank.errors import InputError
from adarank.tasks.base import Task
from adarank.tasks.registry import make_task
from adarank.tuning.prediction import predict
from tests.pico import pico_rows, pico_tokenizer, save_pico_model

THREE = {"task": "classification", "labels": ["who", "what", "where"]}
CPU = torch.device("cpu")


def three(max_length: int = 32) -> Task:
    return make_task(THREE, pico_tokenizer(), max_length)


def table(label: list[int], probabilities: list[list[float]]) -> pd.DataFrame:
    p = np.array(probabilities)
    columns = {f"p_{index}": p[:, index] for index in range(p.shape[1])}
    loss = -np.log(p[np.arange(len(label)), label])
    return pd.DataFrame({"label": label, "predicted": p.argmax(1), "loss": loss} | columns)


def test_metrics_are_the_closed_forms():
    got = three().metrics(
        table([0, 0, 1, 2], [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    )
    assert got["loss"] == pytest.approx(-(math.log(0.5) + math.log(0.1 * 0.7 * 0.8)) / 4)
    assert got["accuracy"] == 0.75
    assert got["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    # (c*s - sum t p) / sqrt((s^2 - sum p^2)(s^2 - sum t^2)), c = 3 right of s = 4
    assert got["matthews"] == pytest.approx((12 - 5) / math.sqrt((16 - 6) * (16 - 6)))
    assert got["auc"] == pytest.approx((2.5 / 4 + 2 / 3 + 1) / 3)


def test_auc_is_the_librarys_one_vs_rest_mean():
    generator = np.random.default_rng(0)
    p = generator.dirichlet([1, 1, 1], size=60)
    label = np.arange(60) % 3
    expected = roc_auc_score(label, p, multi_class="ovr", average="macro")
    assert three().metrics(table(label.tolist(), p.tolist()))["auc"] == pytest.approx(expected)


def test_auc_is_none_where_a_label_has_no_row():
    got = three().metrics(table([0, 1], [[0.6, 0.2, 0.2], [0.3, 0.4, 0.3]]))
    assert got["auc"] is None and got["accuracy"] == 1.0
    json.dumps(got, allow_nan=False)


def test_predictions_are_the_models_own_whatever_the_batches(pico_model: Path):
    task, rows = three(), pico_rows(7)
    model = task.build(pico_model, 0).model.eval()
    got = predict(model, task, task.encode(rows).examples, batch_size=3, device=CPU)
    assert got["row"].tolist() == list(range(7)) and got["label"].tolist() == list(rows["label"])
    for index, text in enumerate(rows["text"]):
        with torch.no_grad():
            logits = model(**pico_tokenizer()(text, return_tensors="pt")).logits[0].double()
        expected = logits.softmax(-1)
        shares = got.loc[index, ["p_0", "p_1", "p_2"]].to_numpy(dtype=float)
        assert shares == pytest.approx(expected.numpy(), abs=1e-6)
        assert got.loc[index, "predicted"] == int(expected.argmax())
        label = int(rows.loc[index, "label"])
        assert got.loc[index, "loss"] == pytest.approx(-math.log(expected[label]), abs=1e-5)


def test_a_confident_miss_has_a_finite_loss():
    class Sure(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor):
            logits = torch.tensor([[400.0, 0.0, 0.0]]).expand(len(input_ids), 3)
            return type("Output", (), {"logits": logits})

    batch = {"input_ids": torch.zeros(2, 4), "labels": torch.tensor([1, 0])}
    assert three().outputs(Sure(), batch)["loss"].tolist() == [400.0, 0.0]


def test_confusion_names_the_labels():
    got = three().confusion(table([2, 0], [[0.1, 0.8, 0.1], [0.9, 0.05, 0.05]]))
    assert got.to_dict("list") == {"actual": ["where", "who"], "predicted": ["what", "who"]}


def test_head_is_the_new_classifier_and_its_seed_decides_it(pico_model: Path):
    before = torch.random.get_rng_state()
    first, again, other = (three().build(pico_model, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.head == ("classifier",)
    weights = [headed.model.get_parameter("classifier.weight") for headed in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_loading_says_nothing(pico_model: Path, capfd: pytest.CaptureFixture[str]):
    three().build(pico_model, 0)
    assert capfd.readouterr() == ("", "")


def test_a_pooler_that_the_checkpoint_lacks_is_part_of_the_head(pico_model: Path, tmp_path: Path):
    BertModel.from_pretrained(pico_model, add_pooling_layer=False).save_pretrained(tmp_path)
    assert three().build(tmp_path, 0).head == ("bert.pooler", "classifier")


def test_a_head_for_other_labels_is_replaced(pico_model: Path, tmp_path: Path):
    old = AutoModelForSequenceClassification.from_pretrained(pico_model, num_labels=5)
    old.save_pretrained(tmp_path)
    headed = three().build(tmp_path, 0)
    assert headed.head == ("classifier",)
    assert headed.model.get_parameter("classifier.weight").shape == (3, 32)
    fresh = three().build(pico_model, 0).model
    for name, weight in fresh.bert.named_parameters():
        assert torch.equal(weight, headed.model.bert.get_parameter(name)), name


def test_a_checkpoint_with_a_hole_is_refused(pico_model: Path, tmp_path: Path):
    AutoModel.from_pretrained(pico_model).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks weights") as caught:
        three().build(tmp_path, 0)
    assert "layer.1.output.dense.weight" in str(caught.value)


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path: Path):
    config = GPT2Config(vocab_size=64, n_positions=64, n_embd=32, n_layer=2, n_head=4)
    save_pico_model(tmp_path, config)
    tokenizer = pico_tokenizer()
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    task = make_task(THREE, tokenizer, 32)
    headed = task.build(tmp_path, 0)
    assert headed.head == ("score",)
    got = predict(headed.model, task, task.encode(pico_rows(4)).examples, batch_size=4, device=CPU)
    assert np.isfinite(got["loss"]).all()


def test_cut_texts_are_counted():
    rows = pd.DataFrame({"text": ["who is a king", "who is the long old red king ?"], "label": 0})
    encoded = three(max_length=6).encode(rows)
    assert encoded.truncated == 1
    assert [len(example["input_ids"]) for example in encoded.examples] == [6, 6]


def test_bad_input_is_refused_with_the_limit(pico_model: Path):
    with pytest.raises(InputError, match="at most 64"):
        make_task(THREE, pico_tokenizer(), 65)
    boundless = pico_tokenizer()
    boundless.model_max_length = 10**30
    with pytest.raises(InputError, match="at most 64"):
        make_task(THREE, boundless, 65).build(pico_model, 0)
    with pytest.raises(InputError, match="at least 2"):
        make_task({"task": "classification", "labels": ["only"]}, pico_tokenizer(), 8)
    with pytest.raises(InputError, match="one of: classification"):
        make_task({"task": "juggling"}, pico_tokenizer(), 8)
    with pytest.raises(InputError, match="cannot be loaded"):
        three().build(pico_model / "nowhere", 0)
