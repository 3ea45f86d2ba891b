"""Models that cannot be scored as they stand are refused in words, with what to give instead."""

from typing import Any

import pytest
import torch
from torch import nn

import adarank
from adarank.errors import InputError
from adarank.models.plain import check_plain
from tests.architectures import pico
from tests.pico import pico_tokenizer

TEXTS = ["who is the king", "what river is long"]


def test_ordinary_models_pass() -> None:
    for name in ("bert", "gpt2", "t5"):
        check_plain(pico(name))
    check_plain(pico("llama").to(torch.bfloat16))


@pytest.mark.parametrize(
    ("wrap", "remedy"),
    [(torch.compile, r"model\._orig_mod"), (nn.DataParallel, r"model\.module")],
)
def test_a_wrapper_is_refused_with_the_model_inside_it(wrap: Any, remedy: str) -> None:
    with pytest.raises(InputError, match=rf"compiled or wrapped(.|\n)*{remedy}"):
        adarank.score(wrap(pico("bert")), TEXTS, pico_tokenizer(), trials=1)


def test_a_model_compiled_in_place_is_refused() -> None:
    model = pico("bert")
    model.compile()
    with pytest.raises(InputError, match=r"compiled or wrapped(.|\n)*compile it then"):
        check_plain(model)


def test_what_is_no_transformers_model_is_refused() -> None:
    with pytest.raises(InputError, match="not a transformers model"):
        adarank.score(nn.Linear(2, 2), TEXTS, pico_tokenizer())
    name: Any = "bert-base-uncased"
    with pytest.raises(InputError, match=r"not a transformers model(.|\n)*got: +str"):
        adarank.score(name, TEXTS, pico_tokenizer())


def test_offloaded_weights_are_refused() -> None:
    model: Any = pico("bert")
    model.encoder.layer[1].to("meta")
    with pytest.raises(InputError, match="offloaded"):
        adarank.score(model, TEXTS, pico_tokenizer())


class Packed(nn.Linear):
    """A linear layer whose weight holds two 4-bit numbers a byte, as bitsandbytes has it."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features)
        packed = torch.zeros(layer.weight.numel() // 2, 1, dtype=torch.uint8)
        self.weight = nn.Parameter(packed, requires_grad=False)


class Buffered(nn.Module):
    """A layer that is no nn.Linear and keeps whole numbers in a buffer, as GPTQ's does."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("qweight", torch.zeros(layer.weight.shape, dtype=torch.int32))


def eight_bit_floats(layer: nn.Linear) -> nn.Linear:
    layer.weight = nn.Parameter(layer.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    return layer


def torch_s_own(layer: nn.Linear) -> nn.Module:
    from torch.ao.nn.quantized import dynamic

    return dynamic.Linear(layer.in_features, layer.out_features)


@pytest.mark.parametrize("change", [Packed, Buffered, eight_bit_floats, torch_s_own])
def test_quantised_weights_are_refused_by_name(change: Any) -> None:
    model: Any = pico("bert")
    model.encoder.layer[0].output.dense = change(model.encoder.layer[0].output.dense)
    with pytest.raises(InputError, match=r"quantised(.|\n)*layer\.0\.output\.dense") as told:
        adarank.score(model, TEXTS, pico_tokenizer(), trials=1)
    assert "without quantization" in str(told.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"probe": "who is the king"}, "probe: not a list"),
        ({"probe": [1, 2]}, "probe: not a text"),
        ({"modules": "query"}, "modules: not a list"),
        ({"trails": 5}, "trails: the estimator exact has no such setting"),
        ({"layers_to_transform": [0]}, "layers_to_transform"),
        ({"tokenizer": "bert-base-uncased"}, "tokenizer: not a tokenizer"),
        ({"estimator": "linearized", "trials": 3}, "trials: the estimator linearized has no such"),
    ],
)
def test_wrong_arguments_are_answered_in_words(arguments: dict[str, Any], words: str) -> None:
    given = {"probe": TEXTS, "tokenizer": pico_tokenizer(), **arguments}
    with pytest.raises(InputError, match=words):
        adarank.score(pico("bert"), **given)
