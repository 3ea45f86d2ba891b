"""Loading a checkpoint: whole, or an error that says what it lacks."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from adarank.errors import InputError
from adarank.pipeline.artifacts.model import load_model
from tests.architectures import CONFIGS


def saved_tied(folder: Path, *dropped: str) -> PreTrainedModel:
    """A Llama whose embeddings are its head's, stored under the head's name alone."""
    config = CONFIGS["llama"]()
    config.tie_word_embeddings = True
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = model.lm_head.weight.detach().clone()
    for name in ("model.embed_tokens.weight", *dropped):
        weights.pop(name)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return model


def test_embeddings_stored_as_the_heads_are_found(tmp_path: Path) -> None:
    model = saved_tied(tmp_path)
    base = load_model(tmp_path)
    assert not hasattr(base, "lm_head")
    embeddings = base.get_submodule("embed_tokens")
    assert isinstance(embeddings, nn.Embedding)
    assert torch.equal(embeddings.weight, model.lm_head.weight)
    names = {name for name, _ in base.named_parameters()}
    assert names == {name for name, _ in model.model.named_parameters()}


def test_a_weight_that_is_nowhere_is_named(tmp_path: Path) -> None:
    saved_tied(tmp_path, "model.layers.1.mlp.up_proj.weight")
    with pytest.raises(InputError, match="lacks 1 of the model's weights") as error:
        load_model(tmp_path)
    assert "layers.1.mlp.up_proj.weight" in str(error.value)
