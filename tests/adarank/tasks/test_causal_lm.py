"""The causal task: which tokens count, losses by the token, and packs that keep rows apart."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedTokenizerFast

from adarank.errors import InputError
from adarank.tasks.base import Task
from adarank.tasks.options import Options
from adarank.tasks.registry import make_task
from adarank.tasks.tokens import UNCOUNTED
from tests.architectures import CONFIGS
from tests.learning import learned, predicted
from tests.pico import SPECIAL, WORDS, pico_gpt2_config, pico_rows, pico_tokenizer, save_pico_model

ROWS = pd.DataFrame(
    {
        "prompt": ["who is the king", "", "where is the old red river ?", "long"],
        "response": [" what is name", "find the first light house", " the tree", " stone"],
    }
)
DIALOGUE = ["Human: Who is the king?\nAssistant: The old one.\n", "Assistant: Ärger", "Human: No"]


def causal(tokenizer: Any = None, max_length: int = 32, **options: Any) -> Task:
    made = tokenizer or pico_tokenizer()
    return make_task({"type": "causal_lm"}, made, max_length, Options(**options))


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE as GPT-2's: a space belongs to the word after it, nothing is added."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        DIALOGUE * 20,
        BpeTrainer(vocab_size=340, special_tokens=["<end>"], initial_alphabet=alphabet),
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


def text_rows(n: int, seed: int = 0) -> pd.DataFrame:
    """Prompts whose first word tells the response, so that it can be learnt."""
    rows = pico_rows(n, seed=seed)
    answers = [" red red", " blue tree water", " old"]
    return pd.DataFrame({"prompt": rows["text"], "response": [answers[i] for i in rows["label"]]})


def counted(example: dict[str, Any]) -> list[int]:
    return [label for label in example["labels"] if label != UNCOUNTED]


@pytest.fixture(scope="module")
def pico_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pico_model(tmp_path_factory.mktemp("gpt2"), pico_gpt2_config())


def test_a_row_is_its_text_whole_and_ended_once():
    tokenizer = byte_tokenizer()
    row = pd.DataFrame({"prompt": ["Human: Who?\nAssistant: "], "response": ["The old one."]})
    example = causal(tokenizer).encode(row).examples[0]
    assert example["input_ids"] == [*tokenizer("Human: Who?\nAssistant: The old one.").input_ids, 0]
    # pico's tokenizer ends texts itself.
    ids = causal().encode(ROWS).examples[0]["input_ids"]
    assert ids == pico_tokenizer()("who is the king what is name").input_ids


def test_the_token_across_the_seam_is_the_responses():
    tokenizer = byte_tokenizer()
    row = pd.DataFrame({"prompt": ["Human: Who?\nAssistant: "], "response": ["The old one."]})
    example = causal(tokenizer, loss_on="response").encode(row).examples[0]
    # The prompt's last space is part of the token " The": apart, no such token would come about.
    assert tokenizer.decode(counted(example)) == " The old one.<end>"
    assert example["bytes"] == len(" The old one.")
    assert tokenizer.convert_ids_to_tokens(counted(example))[0].startswith("Ġ")


def test_a_response_may_be_one_character():
    row = pd.DataFrame({"prompt": ["who is the king"], "response": ["?"]})
    example = causal(loss_on="response").encode(row).examples[0]
    assert pico_tokenizer().decode(counted(example)) == "? [SEP]" and example["bytes"] == 1


def test_all_tokens_count_but_the_first():
    tokenizer = byte_tokenizer()
    row = pd.DataFrame({"prompt": ["Assistant:"], "response": [" Ärger"]})
    example = causal(tokenizer).encode(row).examples[0]
    assert counted(example) == example["input_ids"][1:]
    first = tokenizer.decode(example["input_ids"][:1])
    assert example["bytes"] == len("Assistant: Ärger".encode()) - len(first)


def test_a_texts_beginning_is_foretold_by_the_tokenizers_own_start():
    example = causal().encode(ROWS).examples[1]
    assert counted(example) == example["input_ids"][1:]
    assert example["bytes"] == len("find the first light house")
    assert causal(loss_on="response").encode(ROWS).examples[1] == example


def test_cut_rows_are_counted_and_those_left_with_nothing_are_in_no_loss(pico_gpt2: Path):
    task = causal(max_length=6, loss_on="response")
    encoded = task.encode(ROWS)
    assert (encoded.truncated, encoded.uncounted, encoded.unanswered) == (3, 1, 1)
    assert encoded.counts() == {"rows": 4, "cut": 3, "uncounted": 1, "unanswered": 1}
    # Where the prompt counts too, the row counts, and yet has no answer.
    whole = causal(max_length=6).encode(ROWS)
    assert (whole.truncated, whole.uncounted, whole.unanswered) == (3, 0, 1)
    kept = [pico_tokenizer().decode(counted(example)) for example in encoded.examples]
    assert kept == ["what", "find the first light house", "", "stone [SEP]"]
    assert [example["bytes"] for example in encoded.examples] == [5, 26, 0, 6]
    assert len(task.for_training(encoded.examples)) == 3
    model = task.build(pico_gpt2, 0).model
    table = predicted(model, task, ROWS)
    assert table["tokens"].tolist() == [1, 5, 0, 2] and math.isnan(table["loss"][2])
    whole = task.metrics(table)
    assert whole == pytest.approx(task.metrics(table.drop(index=2)))
    json.dumps(whole, allow_nan=False)


def test_rows_that_all_lose_their_response_are_refused():
    with pytest.raises(InputError, match="no response of 2 rows") as caught:
        causal(max_length=4, loss_on="response").encode(ROWS.iloc[[0, 2]])
    assert "max_length" in str(caught.value)


def test_a_tokenizer_that_knows_no_places_is_refused(monkeypatch: pytest.MonkeyPatch):
    tokenizer = pico_tokenizer()
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(InputError, match="which characters"):
        causal(tokenizer)


@pytest.mark.parametrize("loss_on", ["all", "response"])
def test_losses_are_a_plain_loop_over_tokens(pico_gpt2: Path, loss_on: str):
    task = causal(loss_on=loss_on)
    model = task.build(pico_gpt2, 0).model.eval()
    table = predicted(model, task, ROWS, batch_size=3)
    sums = []
    for index, row in enumerate(task.encode(ROWS).examples):
        with torch.no_grad():
            logs = model(torch.tensor([row["input_ids"]])).logits[0].double().log_softmax(-1)
        places = [i for i, label in enumerate(row["labels"]) if label != UNCOUNTED]
        nats = [-logs[i - 1, row["input_ids"][i]].item() for i in places]
        right = sum(int(logs[i - 1].argmax()) == row["input_ids"][i] for i in places)
        got = table.loc[index]
        assert got["tokens"] == got["label"] == len(places) and got["predicted"] == right
        assert got["nats"] == pytest.approx(sum(nats), rel=1e-5)
        assert got["loss"] == pytest.approx(sum(nats) / len(places), rel=1e-5)
        sums.append((sum(nats), len(places), right, row["bytes"]))
    nats, tokens, right, size = (sum(column) for column in zip(*sums, strict=True))
    assert task.metrics(table) == pytest.approx(
        {
            "loss": nats / tokens,
            "perplexity": math.exp(nats / tokens),
            "bits_per_byte": nats / math.log(2) / size,
            "token_accuracy": right / tokens,
        },
        rel=1e-5,
    )


def test_the_training_loss_is_transformers_own(pico_gpt2: Path):
    task = causal(loss_on="response")
    model = task.build(pico_gpt2, 0).model.eval()
    batch = task.collate(task.encode(ROWS).examples)
    plain = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    torch.testing.assert_close(task.loss(model, batch), model(**plain).loss)


def test_metrics_weigh_tokens_and_not_rows():
    columns = ["label", "predicted", "loss", "tokens", "nats", "bytes"]
    rows = pd.DataFrame([(1, 1, 2.0, 1, 2.0, 4), (3, 0, 6.0, 3, 18.0, 4)], columns=columns)
    got = causal().metrics(rows)
    assert got["loss"] == 5.0 and got["token_accuracy"] == 0.25
    assert got["perplexity"] == pytest.approx(math.exp(5))
    assert got["bits_per_byte"] == pytest.approx(20 / math.log(2) / 8)
    assert causal().metrics(rows.assign(nats=1e6))["perplexity"] is None
    assert causal().metrics(rows.assign(bytes=0))["bits_per_byte"] is None
    # A NaN is a run gone wrong, never a row to be left out.
    assert math.isnan(causal().metrics(rows.assign(nats=[2.0, math.nan]))["loss"])
    assert causal().confusion(rows).empty


def test_a_loss_without_a_token_is_zero_and_can_be_gone_back_from(pico_gpt2: Path):
    task = causal()
    model = task.build(pico_gpt2, 0).model
    batch = task.collate(task.encode(ROWS).examples)
    loss = task.loss(model, batch | {"labels": torch.full_like(batch["labels"], UNCOUNTED)})
    loss.backward()
    assert loss.item() == 0.0
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def test_packs_hold_every_row_in_order_and_no_more_than_fit():
    task = causal(max_length=20, packing=True)
    rows = task.encode(ROWS).examples
    packs = task.for_training(rows)
    assert [len(row["input_ids"]) for row in rows] == [9, 7, 11, 4]
    assert [len(pack["input_ids"]) for pack in packs] == [16, 15]
    for field in ("input_ids", "labels"):
        joined = [token for pack in packs for token in pack[field]]
        assert joined == [token for row in rows for token in row[field]]
    assert packs[0]["position_ids"] == [*range(9), *range(7)]
    again = task.for_training(packs)
    assert [pack["position_ids"] for pack in again] == [pack["position_ids"] for pack in packs]


@pytest.mark.parametrize("name", ["gpt2", "gpt-neox", "llama", "mistral", "qwen2", "gemma", "phi"])
def test_a_packed_loss_is_the_unpacked_one(tmp_path: Path, name: str):
    config = CONFIGS[name]()
    config.vocab_size = len(SPECIAL) + len(WORDS)
    folder = save_pico_model(tmp_path, config)
    task = causal(max_length=20, packing=True, loss_on="response")
    model = task.build(folder, 0).model.eval()
    rows = task.encode(ROWS).examples
    packed = task.collate(task.for_training(rows))
    assert "attention_mask" not in packed and packed["input_ids"].shape == (2, 16)
    alone = task.loss(model, task.collate(rows))
    torch.testing.assert_close(task.loss(model, packed), alone, rtol=1e-5, atol=1e-6)
    # Told nothing of where rows begin, the model would give another loss.
    together = packed | {"position_ids": torch.arange(16).expand(2, 16)}
    assert abs(task.loss(model, together).item() - alone.item()) > 1e-3


def test_a_model_that_cannot_keep_rows_apart_is_refused(tmp_path: Path):
    config = CONFIGS["opt"]()
    config.vocab_size = len(SPECIAL) + len(WORDS)
    folder = save_pico_model(tmp_path, config)
    with pytest.raises(InputError, match="packing: false"):
        causal(packing=True).build(folder, 0)
    assert causal().build(folder, 0).head == ()


def test_the_head_is_the_checkpoints_and_new_only_where_it_lacks_one(tmp_path: Path):
    config = CONFIGS["llama"]()
    config.vocab_size = len(SPECIAL) + len(WORDS)
    without = save_pico_model(tmp_path / "without", config)
    first, again, other = (causal().build(without, seed) for seed in (0, 0, 1))
    assert first.head == ("lm_head",)
    weights = [one.model.lm_head.weight for one in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "with")
    assert causal().build(tmp_path / "with", 0).head == ()


def test_a_checkpoint_of_another_vocabulary_is_refused(pico_gpt2: Path, tmp_path: Path):
    AutoModel.from_pretrained(pico_gpt2).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 77}))
    with pytest.raises(InputError, match="cannot be loaded"):
        causal().build(tmp_path, 0)


@pytest.mark.parametrize("options", [{}, {"packing": True, "loss_on": "response"}])
def test_it_learns_and_reloads(pico_gpt2: Path, tmp_path: Path, options: dict[str, Any]):
    task = causal(**options)
    result = learned(task, pico_gpt2, tmp_path, text_rows(30), text_rows(12, seed=1), 30)
    before, after = task.metrics(result.before), task.metrics(result.after)
    assert after["loss"] < 0.75 * before["loss"]
    assert after["token_accuracy"] > before["token_accuracy"]
    pd.testing.assert_frame_equal(result.after, result.reloaded)
    assert result.after["row"].tolist() == list(range(12))


def test_a_new_head_is_saved_and_reloaded(tmp_path: Path):
    config = CONFIGS["llama"]()
    config.vocab_size = len(SPECIAL) + len(WORDS)
    folder, task = save_pico_model(tmp_path / "model", config), causal()
    result = learned(task, folder, tmp_path / "adapter", text_rows(16), text_rows(6, seed=1), 10)
    assert task.metrics(result.after)["loss"] < task.metrics(result.before)["loss"]
    pd.testing.assert_frame_equal(result.after, result.reloaded)


def test_texts_longer_than_the_models_positions_are_refused(pico_gpt2: Path):
    tokenizer = pico_tokenizer()
    tokenizer.model_max_length = 10**30
    with pytest.raises(InputError, match="at most 64"):
        causal(tokenizer, max_length=65).build(pico_gpt2, 0)
