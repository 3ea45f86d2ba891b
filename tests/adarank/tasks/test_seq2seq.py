"""The written task: label words, losses of targets, and answers that are really written."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from transformers import GenerationConfig, PreTrainedTokenizerFast

from adarank.allocation.plan import RankPlan
from adarank.errors import InputError
from adarank.tasks.base import Task
from adarank.tasks.options import Options
from adarank.tasks.registry import make_task
from adarank.tuning.lora import attach
from tests.architectures import CONFIGS
from tests.learning import learned, predicted
from tests.pico import SPECIAL, WORDS, pico_rows, pico_t5_config, pico_tokenizer, save_pico_model
from tests.plans import make_plan

LABELS = ["red", "blue tree"]


def seq2seq(labels: list[str] = LABELS, max_length: int = 32, **options: Any) -> Task:
    description = {"type": "seq2seq", "labels": labels}
    return make_task(description, pico_tokenizer(), max_length, Options(**options))


def word_rows(n: int, labels: list[str] = LABELS, seed: int = 0) -> pd.DataFrame:
    """Texts whose first word tells what to write."""
    rows = pico_rows(n, n_labels=2, seed=seed)
    target = [LABELS[label] for label in rows["label"]]
    return rows.assign(target=target, label=rows["label"] if labels else -1)


def table(label: list[int], predicted: list[int]) -> pd.DataFrame:
    exact = [a == b for a, b in zip(label, predicted, strict=True)]
    words = [*LABELS, "river"]
    columns = {"label": label, "predicted": predicted, "loss": 2.0, "tokens": 2, "nats": 4.0}
    return pd.DataFrame(columns | {"exact": exact, "written": [words[i] for i in predicted]})


@pytest.fixture(scope="module")
def pico_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pico_model(tmp_path_factory.mktemp("t5"), pico_t5_config())


class Writer(torch.nn.Module):
    """Writes what it is told, whatever it reads."""

    def __init__(self, answers: list[str]):
        super().__init__()
        self.config = pico_t5_config()
        self.answers = pico_tokenizer()(answers, padding=True, return_tensors="pt").input_ids

    def forward(self, labels: torch.Tensor, **_: Any):
        logits = torch.zeros(*labels.shape, len(SPECIAL) + len(WORDS))
        return type("Output", (), {"logits": logits})

    def generate(self, **_: Any):
        start = torch.zeros(len(self.answers), 1, dtype=torch.long)
        return torch.cat([start, self.answers], 1)


def test_metrics_are_the_librarys_own():
    generator = np.random.default_rng(0)
    label, guess = generator.integers(0, 2, 50), generator.integers(0, 2, 50)
    task = seq2seq(positive="red")
    got = task.metrics(table(label.tolist(), guess.tolist()))
    assert list(got) == list(task.better)
    assert got["loss"] == 2.0
    assert got["accuracy"] == got["exact_match"] == accuracy_score(label, guess)
    assert got["macro_f1"] == pytest.approx(f1_score(label, guess, average="macro"))
    assert got["f1_positive"] == pytest.approx(f1_score(label, guess, pos_label=0))
    last = seq2seq().metrics(table(label.tolist(), guess.tolist()))["f1_positive"]
    assert last == pytest.approx(f1_score(label, guess, pos_label=1))


def test_an_answer_that_is_no_label_is_a_miss():
    got = seq2seq().metrics(table([0, 0, 1, 1], [0, -1, 1, -1]))
    assert got["accuracy"] == 0.5
    # precision 1, recall 1/2, for either label
    assert got["macro_f1"] == got["f1_positive"] == pytest.approx(2 / 3)
    nothing = seq2seq().metrics(table([0, 0], [-1, -1]))
    assert nothing["macro_f1"] == 0.0 and nothing["f1_positive"] is None
    json.dumps(nothing, allow_nan=False)
    confusion = seq2seq().confusion(table([0, 1], [0, -1]))
    assert confusion["actual"].tolist() == LABELS
    assert confusion["predicted"].tolist() == ["red", "(none of the labels)"]


def test_metrics_weigh_target_tokens_and_not_rows():
    rows = table([0, 1], [0, 1]).assign(tokens=[1, 3], nats=[2.0, 18.0])
    assert seq2seq().metrics(rows)["loss"] == 5.0


def test_answers_are_compared_whole():
    rows = pd.DataFrame({"text": "who", "target": ["red", "blue tree", "red", "red"]})
    rows["label"] = [0, 1, 0, 0]
    task = seq2seq()
    model = Writer(["red", "blue tree", "red red", "river"])
    got = task.outputs(model, task.collate(task.encode(rows).examples))
    assert got["written"].tolist() == ["red", "blue tree", "red red", "river"]
    assert got["predicted"].tolist() == [0, 1, -1, -1]
    assert got["exact"].tolist() == [True, True, False, False]
    assert got["loss"].to_numpy() == pytest.approx(math.log(len(SPECIAL) + len(WORDS)))


def test_losses_are_a_plain_loop_over_the_target(pico_t5: Path):
    task, rows = seq2seq(), word_rows(5)
    headed = task.build(pico_t5, 0)
    assert headed.head == ()
    model = headed.model.eval()
    got = predicted(model, task, rows, batch_size=3)
    for index, row in rows.iterrows():
        text = pico_tokenizer()(row["text"], return_tensors="pt").input_ids
        target = pico_tokenizer()(row["target"]).input_ids
        shown = torch.tensor([[0, *target[:-1]]])
        with torch.no_grad():
            logits = model(input_ids=text, decoder_input_ids=shown).logits[0]
        logs = logits.double().log_softmax(-1)
        nats = -sum(logs[place, token].item() for place, token in enumerate(target))
        assert got.loc[index, "tokens"] == len(target)
        assert got.loc[index, "nats"] == pytest.approx(nats, rel=1e-5)
        assert got.loc[index, "loss"] == pytest.approx(nats / len(target), rel=1e-5)


def test_the_training_loss_is_transformers_own(pico_t5: Path):
    task = seq2seq()
    model = task.build(pico_t5, 0).model.eval()
    batch = task.collate(task.encode(word_rows(6)).examples)
    assert (batch["labels"] == -100).any()
    plain = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    torch.testing.assert_close(task.loss(model, batch), model(**plain).loss)


def greedily(model: Any, text: str, steps: int) -> list[int]:
    """Write token by token, always the likeliest, from the start token on."""
    read = pico_tokenizer()(text, return_tensors="pt").input_ids
    ids = [0]
    while len(ids) <= steps and ids[-1] != SPECIAL.index("[SEP]"):
        with torch.no_grad():
            logits = model(input_ids=read, decoder_input_ids=torch.tensor([ids])).logits
        ids.append(int(logits[0, -1].argmax()))
    return ids


@pytest.mark.parametrize("adapted", [False, True])
def test_answers_are_written_greedily(tmp_path: Path, adapted: bool):
    folder = save_pico_model(tmp_path, pico_t5_config())
    # A checkpoint's own habits do not matter.
    habits = {"min_length": 4, "no_repeat_ngram_size": 1, "num_beams": 3}
    GenerationConfig(**habits).save_pretrained(folder)
    task, rows = seq2seq(max_new_tokens=5), word_rows(5)
    headed = task.build(folder, 0)
    model: Any = headed.model
    if adapted:
        plan: RankPlan = make_plan(folder, lambda _: 2)
        model = attach(headed, plan, peft_type=task.peft_type, dropout=0.0, seed=0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator())
    model.eval()
    got = predicted(model, task, rows, batch_size=2)
    pd.testing.assert_frame_equal(got, predicted(model, task, rows, batch_size=2))
    expected = [
        pico_tokenizer().decode(greedily(model, text, 5), skip_special_tokens=True)
        for text in rows["text"]
    ]
    assert got["written"].tolist() == [text.strip() for text in expected]
    assert any(expected)


def test_it_learns_to_write_its_words_and_reloads(pico_t5: Path, tmp_path: Path):
    task = seq2seq()
    result = learned(task, pico_t5, tmp_path, word_rows(30), word_rows(10, seed=1), 60)
    before, after = task.metrics(result.before), task.metrics(result.after)
    assert after["loss"] < 0.5 * before["loss"]
    assert after["accuracy"] > 0.7 > before["accuracy"]
    pd.testing.assert_frame_equal(result.after, result.reloaded)


def test_free_text_is_measured_by_exact_match(pico_t5: Path):
    task, rows = seq2seq([]), word_rows(4, [])
    assert task.headline == "exact_match" and list(task.better) == ["loss", "exact_match"]
    table = predicted(task.build(pico_t5, 0).model, task, rows)
    assert table["predicted"].tolist() == table["label"].tolist() == [-1] * 4
    got = task.metrics(table.assign(exact=[True, False, False, False]))
    assert got["exact_match"] == 0.25 and list(got) == ["loss", "exact_match"]
    assert task.confusion(table).empty and seq2seq().headline == "accuracy"


def test_cut_rows_are_counted_and_a_cut_target_is_never_met():
    texts = ["who", "who is the old king", "who"]
    targets = ["red", "red", "red blue tree house water"]
    rows = pd.DataFrame({"text": texts, "target": targets, "label": -1})
    task = seq2seq([], max_length=5)
    encoded = task.encode(rows)
    assert encoded.counts() == {
        "rows": 3,
        "cut": 2,
        "uncounted": 0,
        "unanswered": 1,
    }
    assert seq2seq([], max_new_tokens=4).encode(rows).counts()["unanswered"] == 1
    assert seq2seq([], max_new_tokens=6).encode(rows).counts()["unanswered"] == 0
    assert [len(example["labels"]) for example in encoded.examples] == [3, 3, 5]
    model = Writer(["red", "red", "red blue tree house"])
    got = task.outputs(model, task.collate(encoded.examples))
    assert got["exact"].tolist() == [True, True, False]


def test_another_architecture_writes_too(tmp_path: Path):
    config = CONFIGS["bart"]()
    config.vocab_size = len(SPECIAL) + len(WORDS)
    task = seq2seq()
    headed = task.build(save_pico_model(tmp_path, config), 0)
    assert headed.head == ()
    assert np.isfinite(predicted(headed.model, task, word_rows(3))["loss"]).all()


def test_bad_label_words_are_refused_by_name():
    with pytest.raises(InputError) as caught:
        seq2seq(["red", "equivalent", "not equivalent", "[SEP]"])
    assert len(caught.value.problems) == 3
    for word in ("'equivalent'", "'not equivalent'", "'[SEP]'"):
        assert f"label word {word}" in str(caught.value)
    with pytest.raises(InputError, match="the same to the tokenizer"):
        seq2seq(["red", "red equivalent"])
    with pytest.raises(InputError, match="max_new_tokens: 4"):
        seq2seq(["red", "blue tree house water"], max_new_tokens=3)


def test_words_are_compared_as_the_tokenizer_writes_them():
    tokenizer: PreTrainedTokenizerFast = pico_tokenizer()
    description = {"type": "seq2seq", "labels": ["red", "blue  tree"]}
    task = make_task(description, tokenizer, 32)
    rows = pd.DataFrame({"text": ["who"], "target": ["blue  tree"], "label": [1]})
    got = task.outputs(Writer(["blue tree"]), task.collate(task.encode(rows).examples))
    assert got["predicted"].tolist() == [1] and got["exact"].tolist() == [True]


def test_an_unknown_positive_label_is_refused():
    with pytest.raises(InputError, match="one of: red, blue tree"):
        seq2seq(positive="green")
    assert seq2seq([], positive="green").headline == "exact_match"


def test_a_target_without_a_token_is_refused():
    tokenizer = pico_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    task = make_task({"type": "seq2seq", "labels": []}, tokenizer, 32)
    rows = pd.DataFrame({"text": ["who", "what"], "target": ["red", " "], "label": -1})
    with pytest.raises(InputError, match="row 2"):
        task.encode(rows)
