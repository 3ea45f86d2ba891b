"""A tied embedding stored under the output layer's name is loaded, and never trained as a head."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig

from adarank.errors import InputError
from adarank.pipeline.artifacts.model import load_model, load_tokenizer
from adarank.tasks.heads import load_headed, load_writer
from tests.architectures import DECODER
from tests.pico import SPECIAL, WORDS, pico_tokenizer

VOCABULARY = len(SPECIAL) + len(WORDS)


def saved(folder: Path, *, tied: bool = True, drop: tuple[str, ...] = ()) -> torch.Tensor:
    """Write a pico Llama whose embedding is stored as lm_head.weight; returns that."""
    torch.manual_seed(0)
    config = LlamaConfig(**DECODER | {"vocab_size": VOCABULARY}, tie_word_embeddings=tied)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    pico_tokenizer().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    embedding = weights.pop("model.embed_tokens.weight")
    weights["lm_head.weight"] = embedding
    weights = {name: values for name, values in weights.items() if name not in drop}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return embedding


def test_for_classification_the_embedding_is_the_checkpoint_s(tmp_path: Path) -> None:
    embedding = saved(tmp_path)
    headed = load_headed(AutoModelForSequenceClassification, tmp_path, 0, num_labels=2)
    assert headed.head == ("score",)
    assert torch.equal(headed.model.get_input_embeddings().weight, embedding)


def test_the_bare_model_and_the_writer_have_it_too(tmp_path: Path) -> None:
    embedding = saved(tmp_path)
    assert torch.equal(load_model(tmp_path).get_parameter("embed_tokens.weight"), embedding)
    assert load_writer(AutoModelForCausalLM, tmp_path, 0).head == ()


def test_without_a_tie_a_missing_embedding_is_refused_by_name(tmp_path: Path) -> None:
    saved(tmp_path, tied=False)
    words = r"embed_tokens(.|\n)*1 missing \(1,\d{3} of \d+,\d{3} parameters\)"
    with pytest.raises(InputError, match=words):
        load_headed(AutoModelForSequenceClassification, tmp_path, 0, num_labels=2)
    with pytest.raises(InputError, match="embed_tokens"):
        load_model(tmp_path)


def test_a_missing_last_norm_is_no_head(tmp_path: Path) -> None:
    saved(tmp_path, drop=("model.norm.weight",))
    with pytest.raises(InputError, match=r"model\.norm(.|\n)*1 missing"):
        load_headed(AutoModelForSequenceClassification, tmp_path, 0, num_labels=2)


def test_a_tokenizer_that_cannot_pad_gets_a_token_that_the_model_knows(tmp_path: Path) -> None:
    saved(tmp_path)
    tokenizer = pico_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).pad_token == "[CLS]"
    tokenizer.add_special_tokens({"pad_token": "[FAR]"})
    tokenizer.save_pretrained(tmp_path)
    far = load_tokenizer(tmp_path)
    assert far.convert_tokens_to_ids("[FAR]") >= VOCABULARY > far.pad_token_id
