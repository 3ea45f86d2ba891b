import subprocess
import sys
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    Phi3Config,
    T5Config,
)

from adarank.errors import InputError
from adarank.models.modules import Module, find_modules, resolve
from tests.architectures import CONFIGS, DECODER, pico, pico_batch

BERT = "query key value dense up down"
LLAMA = "query key value dense gate up down"
FUSED = "qkv dense up down"
KEY_FIRST = "key value query dense"

# The kinds of each block, nearest the input first, in the order of registration.
KINDS: dict[str, list[str]] = {
    "bert": [BERT] * 2,
    "roberta": [BERT] * 2,
    "distilbert": [BERT] * 2,
    "electra": [BERT] * 2,
    "deberta-v2": ["query key value pos_key pos_query dense up down"] * 2,
    "albert": [BERT],
    "gpt2": [FUSED] * 2,
    "gpt-neox": [FUSED] * 2,
    "opt": [f"{KEY_FIRST} up down"] * 2,
    "llama": [LLAMA] * 2,
    "mistral": [LLAMA] * 2,
    "qwen2": [LLAMA] * 2,
    "gemma": [LLAMA] * 2,
    "phi": [BERT] * 2,
    "t5": [BERT] * 2
    + ["query key value dense cross_query cross_key cross_value cross_dense up down"] * 2,
    "bart": [f"{KEY_FIRST} up down"] * 2
    + [f"{KEY_FIRST} cross_key cross_value cross_query cross_dense up down"] * 2,
    "vit": [BERT] * 2,
}
CAUSAL = ("gpt2", "gpt-neox", "opt", "llama", "mistral", "qwen2", "gemma", "phi")
SEQ2SEQ = ("t5", "bart")
HEADS: list[tuple[str, Any]] = [
    *((name, AutoModelForSequenceClassification) for name in CONFIGS if name != "vit"),
    *((name, AutoModelForCausalLM) for name in CAUSAL),
    *((name, AutoModelForSeq2SeqLM) for name in SEQ2SEQ),
    ("vit", AutoModelForImageClassification),
]


class Block(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.attention = nn.Linear(width, width)
        self.mlp = nn.ModuleDict({"first": nn.Linear(width, 8), "second": nn.Linear(8, width)})


def model_of(**parts: nn.Module) -> nn.Module:
    model = nn.Module()
    for name, part in parts.items():
        model.add_module(name, part)
    return model


def blocks(n: int = 2) -> nn.ModuleList:
    return nn.ModuleList(Block() for _ in range(n))


def test_every_architecture_is_expected() -> None:
    assert KINDS.keys() == CONFIGS.keys()


@pytest.mark.parametrize("name", CONFIGS)
def test_kinds_of_every_block_in_order(name: str) -> None:
    found: dict[int, list[str]] = {}
    for module in find_modules(pico(name)):
        found.setdefault(module.block, []).append(module.kind)
    assert list(found) == list(range(len(KINDS[name])))
    assert [" ".join(kinds) for kinds in found.values()] == KINDS[name]


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_are_those_that_the_layer_takes_and_gives(name: str) -> None:
    model = pico(name)
    for module in find_modules(model):
        layer = model.get_submodule(module.name)
        assert layer(torch.zeros(1, module.d_in)).shape == (1, module.d_out)
        assert layer.get_parameter("weight").numel() == module.d_in * module.d_out


@pytest.mark.parametrize("name", CONFIGS)
def test_every_module_moves_the_output(name: str) -> None:
    """Nothing listed is dead, and the pico models are lively enough to tell."""
    model, batch = pico(name), pico_batch(name)
    with torch.no_grad():
        before = model(**batch).last_hidden_state
        for module in find_modules(model):
            weight = model.get_submodule(module.name).get_parameter("weight")
            kept = weight.clone()
            weight.zero_()
            moved = (model(**batch).last_hidden_state - before).abs().max()
            weight.copy_(kept)
            assert moved > 1e-3, module.name


@pytest.mark.parametrize(("name", "head"), HEADS)
def test_names_are_the_base_models_and_resolve_below_a_head(name: str, head: Any) -> None:
    headed = head.from_config(CONFIGS[name]())
    modules = find_modules(headed)
    assert modules == find_modules(pico(name))
    for module in modules:
        layer = headed.get_submodule(resolve(headed, module.name))
        assert layer(torch.zeros(1, module.d_in)).shape[1] == module.d_out


def test_pico_models_are_the_same_every_time() -> None:
    first, again = pico("bert").state_dict(), pico("bert").state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(
        first["encoder.layer.0.output.dense.weight"],
        pico("bert", seed=1).state_dict()["encoder.layer.0.output.dense.weight"],
    )


def test_kinds_select_exactly() -> None:
    assert {m.kind for m in find_modules(pico("t5"), ["query"])} == {"query"}
    both = find_modules(pico("t5"), ["cross_value", "down"])
    assert [m.kind for m in both] == ["down", "down", "cross_value", "down", "cross_value", "down"]
    assert find_modules(pico("t5"), ["query", "all-linear"]) == find_modules(pico("t5"))


def test_resolve_names_the_layer_that_peft_replaced() -> None:
    headed = AutoModelForSequenceClassification.from_config(CONFIGS["bert"]())
    modules = find_modules(headed, ["value"])
    wrapped = get_peft_model(headed, LoraConfig(target_modules=[m.name for m in modules]))
    for module in modules:
        full = resolve(wrapped, module.name)
        assert full == f"base_model.model.bert.{module.name}"
        assert dict(wrapped.named_modules())[full].r == {"default": 8}


def test_resolve_refuses_an_absent_name_and_shows_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        resolve(pico("bert"), "encoder.layer.0.attention.self.querry")
    assert caught.value.problems[0].got == "encoder.layer.0.attention.self.querry"
    assert "encoder.layer.0.attention.self.query" in caught.value.problems[0].expected


@pytest.mark.parametrize(
    ("name", "asked", "suggested"),
    [("gpt2", "query", "qkv"), ("bert", "q_proj", "query"), ("bert", "vallue", "value")],
)
def test_unknown_kind_is_refused_with_what_there_is(name: str, asked: str, suggested: str) -> None:
    with pytest.raises(InputError) as caught:
        find_modules(pico(name), [asked])
    problem = caught.value.problems[0]
    assert problem.got == asked
    assert problem.remedy == f"write {suggested}"
    assert f"{suggested} (2)" in problem.expected


def test_all_unknown_kinds_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        find_modules(pico("bert"), ["gate", "up", "zzz"])
    assert [problem.got for problem in caught.value.problems] == ["gate", "zzz"]


def test_asking_for_no_kind_is_refused() -> None:
    with pytest.raises(InputError, match="no kind of module asked for"):
        find_modules(pico("bert"), [])


def test_model_that_carries_adapters_is_refused() -> None:
    adapted = get_peft_model(pico("bert"), LoraConfig(target_modules=["query"]))
    with pytest.raises(InputError, match="already carries adapters"):
        find_modules(adapted)


def test_tied_weights_are_listed_once_with_their_other_names() -> None:
    model = model_of(layers=blocks())
    model.layers[1].attention.weight = model.layers[0].attention.weight
    modules = find_modules(model)
    assert len(modules) == 5
    assert modules[0].name == "layers.0.attention"
    assert modules[0].aliases == ("layers.1.attention",)
    assert all(not module.aliases for module in modules[1:])


def test_block_registered_twice_is_listed_once() -> None:
    block = Block()
    modules = find_modules(model_of(layers=nn.ModuleList([block, Block(), block])))
    assert [module.block for module in modules] == [0, 0, 0, 1, 1, 1]
    assert modules[0].aliases == ("layers.2.attention",)


def test_aliases_are_no_part_of_identity() -> None:
    assert Module("a", 0, "query", 4, 4) == Module("a", 0, "query", 4, 4, aliases=("b",))


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        (Phi3Config(**DECODER), "dense qkv gate_up down"),
        (
            T5Config(
                vocab_size=37, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4,
                feed_forward_proj="gated-gelu",
            ),
            "query key value dense gate up down",
        ),
        (
            GPT2Config(
                vocab_size=37, n_embd=32, n_layer=1, n_head=4, n_inner=64, add_cross_attention=True
            ),
            "qkv dense cross_kv cross_query cross_dense up down",
        ),
    ],
    ids=["gate and up in one", "gated", "cross attention with key and value in one"],
)  # fmt: skip
def test_other_forms_of_a_block(config: Any, kinds: str) -> None:
    first = [m.kind for m in find_modules(AutoModel.from_config(config)) if m.block == 0]
    assert " ".join(first) == kinds


def test_model_can_be_read_without_its_weights() -> None:
    with torch.device("meta"):
        model = AutoModel.from_config(CONFIGS["gpt2"]())
    assert find_modules(model) == find_modules(pico("gpt2"))


def test_allocation_can_read_modules_without_torch() -> None:
    code = "import sys, adarank.models.modules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
