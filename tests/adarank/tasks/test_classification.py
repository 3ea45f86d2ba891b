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
    PretrainedConfig,
    RobertaConfig,
)

from adarank.errors import InputError
from adarank.tasks.base import Task
from adarank.tasks.hidden import with_hidden
from adarank.tasks.options import Options
from adarank.tasks.registry import make_task
from adarank.tuning.prediction import predict
from tests.learning import learned, predicted
from tests.pico import (
    pico_bert_config,
    pico_gpt2_config,
    pico_rows,
    pico_tokenizer,
    save_pico_model,
)

THREE = {"type": "classification", "labels": ["who", "what", "where"]}
CPU = torch.device("cpu")


def three(max_length: int = 32, hidden: int | None = None) -> Task:
    return make_task(THREE, pico_tokenizer(), max_length, Options(hidden=hidden))


def pico_roberta_config() -> PretrainedConfig:
    return RobertaConfig(**pico_bert_config().to_diff_dict() | {"pad_token_id": 0})


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


def test_loss_is_transformers_own(pico_model: Path):
    task = three()
    model = task.build(pico_model, 0).model.eval()
    batch = task.collate(task.encode(pico_rows(7)).examples)
    expected = model(**batch).loss
    torch.testing.assert_close(task.loss(model, batch), expected)
    with torch.no_grad():
        table = task.outputs(model, batch)
    assert table["loss"].mean() == pytest.approx(expected.item(), rel=1e-6)


def test_a_pair_is_read_as_the_tokenizer_joins_it(pico_model: Path):
    rows = pd.DataFrame({"text": ["who is", "what was"], "pair": ["the king", "a tree ?"]})
    task, tokenizer = three(), pico_tokenizer()
    encoded = task.encode(rows.assign(label=[0, 2]))
    assert [example["labels"] for example in encoded.examples] == [0, 2]
    for example, text, pair in zip(encoded.examples, rows["text"], rows["pair"], strict=True):
        assert {**example, "labels": 0} == {**tokenizer(text, pair), "labels": 0}
    model = task.build(pico_model, 0).model
    swapped = rows.rename(columns={"text": "pair", "pair": "text"}).assign(label=0)
    straight = predicted(model, task, rows.assign(label=0))
    assert (straight["p_0"] - predicted(model, task, swapped)["p_0"]).abs().min() > 1e-3


def test_of_a_long_pair_the_longer_text_is_cut():
    rows = pd.DataFrame({"text": ["who is"], "pair": ["the long old red tree light house"]})
    encoded = three(max_length=9).encode(rows.assign(label=0))
    told = pico_tokenizer().decode(encoded.examples[0]["input_ids"])
    assert told == "[CLS] who is [SEP] the long old red [SEP]"
    assert encoded.truncated == 1


@pytest.mark.parametrize(
    ("config", "head", "replaced"),
    [
        (pico_bert_config, "classifier", "classifier"),
        (pico_roberta_config, "classifier", "classifier.out_proj"),
        (pico_gpt2_config, "score", "score"),
    ],
)
def test_a_hidden_layer_comes_before_the_last(tmp_path: Path, config, head: str, replaced: str):
    folder = save_pico_model(tmp_path, config())
    first, again, other = (three(hidden=24).build(folder, seed) for seed in (0, 0, 1))
    assert first.head == (head,)
    layers = first.model.get_submodule(replaced)
    assert [type(layer).__name__ for layer in layers] == ["Linear", "GELU", "Linear"]
    assert layers[0].weight.shape == (24, 32) and layers[2].weight.shape == (3, 24)
    # The model's own initializer_range, as its other new weights have.
    assert layers[0].weight.std().item() == pytest.approx(0.2, rel=0.1)
    assert not layers[0].bias.any()
    assert torch.equal(layers[0].weight, again.model.get_submodule(replaced)[0].weight)
    assert not torch.equal(layers[0].weight, other.model.get_submodule(replaced)[0].weight)


def test_with_a_hidden_layer_logits_are_its_formula(pico_model: Path):
    model = three(hidden=24).build(pico_model, 0).model.eval()
    batch = pico_tokenizer()(["who is the king"], return_tensors="pt")
    first, _, last = model.classifier
    with torch.no_grad():
        pooled = model.bert(**batch).pooler_output
        inner = pooled @ first.weight.T + first.bias
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        torch.testing.assert_close(
            model(**batch).logits, inner @ last.weight.T + last.bias, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("config", [pico_bert_config, pico_roberta_config])
def test_a_hidden_layer_is_trained_saved_and_reloaded(tmp_path: Path, config):
    folder, task = save_pico_model(tmp_path / "model", config()), three(hidden=24)
    result = learned(task, folder, tmp_path / "adapter", pico_rows(30), pico_rows(12, seed=1), 30)
    assert task.metrics(result.after)["loss"] < 0.7 * task.metrics(result.before)["loss"]
    pd.testing.assert_frame_equal(result.after, result.reloaded)
    saved = load_file(tmp_path / "adapter/adapter_model.safetensors")
    fresh = dict(task.build(folder, 0).model.named_parameters())
    inner = [name for name in saved if name.endswith(".0.weight") and "classifier" in name]
    assert len(inner) == 1
    assert not torch.equal(saved[inner[0]], fresh[inner[0].removeprefix("base_model.model.")])


def test_of_layers_as_wide_as_the_labels_the_last_is_meant(tmp_path: Path):
    folder = save_pico_model(tmp_path, pico_roberta_config())
    description = {"type": "classification", "labels": [f"label {n}" for n in range(32)]}
    task = make_task(description, pico_tokenizer(), 32, Options(hidden=24))
    head = task.build(folder, 0).model.classifier
    assert type(head.dense).__name__ == "Linear" and len(head.out_proj) == 3


def test_a_head_without_a_last_linear_layer_is_told(pico_model: Path):
    headed = three().build(pico_model, 0)
    headed.model.classifier = torch.nn.Identity()
    with pytest.raises(InputError, match=r"task\.hidden"):
        with_hidden(headed, outputs=3, hidden=8, seed=0)


def test_a_thousand_labels(pico_model: Path):
    description = {"type": "classification", "labels": [f"label {n}" for n in range(1000)]}
    task = make_task(description, pico_tokenizer(), 32)
    model = task.build(pico_model, 0).model
    table = predicted(model, task, pico_rows(20).assign(label=range(0, 1000, 50)))
    assert table.filter(like="p_").shape == (20, 1000)
    assert table["loss"].mean() == pytest.approx(math.log(1000), rel=0.3)
    assert task.metrics(table)["auc"] is None


def test_room_for_the_padding_index_is_not_room_for_text(tmp_path: Path):
    folder = save_pico_model(tmp_path, pico_roberta_config())
    # RoBERTa counts positions from the padding's index on: 0 here, so one of 64 is lost.
    assert three(max_length=63).build(folder, 0).head == ("classifier",)
    with pytest.raises(InputError, match="at most 63"):
        three(max_length=64).build(folder, 0)


def test_bad_input_is_refused_with_the_limit(pico_model: Path):
    with pytest.raises(InputError, match="at most 64"):
        make_task(THREE, pico_tokenizer(), 65)
    boundless = pico_tokenizer()
    boundless.model_max_length = 10**30
    with pytest.raises(InputError, match="at most 64"):
        make_task(THREE, boundless, 65).build(pico_model, 0)
    with pytest.raises(InputError, match="at least 2"):
        make_task({"type": "classification", "labels": ["only"]}, pico_tokenizer(), 8)
    with pytest.raises(InputError, match="one of: causal_lm, classification, regression"):
        make_task({"type": "juggling"}, pico_tokenizer(), 8)
    with pytest.raises(InputError, match="cannot be loaded"):
        three().build(pico_model / "nowhere", 0)
