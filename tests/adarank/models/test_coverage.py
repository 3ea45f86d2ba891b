"""A plan covers what runs, what PEFT adapts and what a gradient reaches; the rest is named."""

from typing import Any

import peft
import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    CLIPConfig,
    Glm4MoeConfig,
    JambaConfig,
    LongformerConfig,
    MambaConfig,
    MixtralConfig,
    PretrainedConfig,
    Qwen3MoeConfig,
    XLNetConfig,
)

import adarank
from adarank.errors import InputError
from adarank.models.coverage import Coverage, cover
from adarank.models.modules import find_modules
from adarank.models.peft_support import refused_by_peft, without_weights
from adarank.scoring.outputs import check_runs
from tests.architectures import CONFIGS, DECODER, pico, pico_batch
from tests.pico import SPECIAL, WORDS, pico_tokenizer

TEXTS = ["who is the king", "what river is long", "where is the old city ?"]
VOCABULARY = len(SPECIAL) + len(WORDS)
SIZES: dict[str, Any] = {**DECODER, "vocab_size": VOCABULARY}
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
JAMBA: dict[str, Any] = {
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "mamba_d_state": 4,
    "mamba_dt_rank": 8,
}


def glm4_moe() -> PretrainedConfig:
    return Glm4MoeConfig(**SIZES, **EXPERTS, n_routed_experts=4, first_k_dense_replace=1)


def qwen3_moe() -> PretrainedConfig:
    return Qwen3MoeConfig(**SIZES, **EXPERTS, num_experts=4, mlp_only_layers=[0])


def mamba() -> PretrainedConfig:
    return MambaConfig(vocab_size=VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2)


def made(config: PretrainedConfig) -> nn.Module:
    torch.manual_seed(0)
    return AutoModel.from_config(config).eval()


def covered(model: nn.Module) -> Coverage:
    tokens = torch.arange(4, 20).reshape(2, 8)
    return cover(model, [{"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}])


def endings(names: Any) -> set[str]:
    return {name.rpartition(".")[2] for name in names}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_every_linear_module_of_the_usual_architectures_is_covered(name: str) -> None:
    model = pico(name)
    result = cover(model, [pico_batch(name)])
    assert list(result.modules) == find_modules(model)
    assert result.share > 0.98
    assert not any(part.linear for part in result.left_out)


@pytest.mark.parametrize("config", [glm4_moe, qwen3_moe])
def test_names_that_peft_moves_to_fused_experts_are_left_out(config: Any) -> None:
    model = made(config())
    result = covered(model)
    moved = next(part for part in result.left_out if part.linear)
    assert endings(moved.names) == {"gate_proj", "up_proj", "down_proj"}
    assert "fused experts" in moved.what
    wanted = {module.name for module in result.modules}
    adapted = peft.get_peft_model(
        model,  # pyright: ignore[reportArgumentType]
        peft.LoraConfig(r=1, target_modules=sorted(wanted)),
    )
    built = {n for n, part in adapted.get_base_model().named_modules() if hasattr(part, "lora_A")}
    assert built == wanted


def test_fused_experts_are_counted_and_named() -> None:
    config = MixtralConfig(**SIZES, num_local_experts=4)
    result = covered(made(config))
    experts = next(part for part in result.left_out if "fused experts" in part.what)
    attention, router = 2 * (32 * 32 + 16 * 32), 4 * 32
    each = 3 * 32 * 64 * 4
    assert experts.share == pytest.approx(each / (attention + router + each))
    assert result.share == pytest.approx(attention / (attention + router + each))
    assert result.lines()[0] == "8 of 8 linear modules, 11 % of the weights of the blocks"
    assert result.lines()[1].startswith(
        "88 % of the weights of the blocks are fused experts, which"
    )


def test_attention_of_raw_parameters_is_counted_and_named() -> None:
    config = XLNetConfig(vocab_size=VOCABULARY, d_model=32, n_layer=2, n_head=4, d_inner=64)
    raw = next(p for p in covered(made(config)).left_out if "without a linear layer" in p.what)
    assert raw.share > 0.5
    assert "layer.0.rel_attn.q" in raw.names


def test_what_peft_refuses_and_what_is_read_without_a_call_is_left_out() -> None:
    result = covered(made(mamba()))
    refused: dict[str, set[str]] = {}
    read: dict[str, set[str]] = {}
    for part in result.left_out:
        refused |= {part.what: endings(part.names)} if "PEFT refuses" in part.what else {}
        read |= {part.what: endings(part.names)} if "without calling" in part.what else {}
    assert list(refused.values()) == [{"out_proj"}]
    assert list(read.values()) == [{"dt_proj"}]
    assert endings(module.name for module in result.modules) == {"in_proj", "x_proj"}


def test_every_adapter_of_a_covered_model_has_a_gradient_and_merges() -> None:
    model: Any = made(JambaConfig(**SIZES, **JAMBA))
    result = covered(model)
    assert "dt_proj" not in endings(module.name for module in result.modules)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules=[module.name for module in result.modules])
    ).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
    tokens = torch.arange(4, 20).reshape(2, 8)
    out = adapted(input_ids=tokens, use_cache=False).last_hidden_state
    out.square().sum().backward()
    factors = {n: p for n, p in adapted.named_parameters() if "lora_" in n}
    assert all(p.grad is not None and bool(p.grad.any()) for p in factors.values())
    merged: Any = adapted.merge_and_unload()
    again = merged(input_ids=tokens, use_cache=False).last_hidden_state
    torch.testing.assert_close(again, out, rtol=1e-5, atol=1e-5)


def test_modules_that_the_texts_do_not_run_are_left_out() -> None:
    sizes = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}
    model = made(LongformerConfig(**sizes, attention_window=[8, 8]))
    idle = next(part for part in covered(model).left_out if part.linear)
    assert "did not run" in idle.what
    assert endings(idle.names) == {"query_global", "key_global", "value_global"}


class Dead(nn.Module):
    """Calls a layer and throws its result away."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.dead = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.dead(x)
        return x + self.used(x)


class DeadModel(nn.Module):
    """Two such blocks, with a transformers config."""

    def __init__(self) -> None:
        super().__init__()
        self.config = PretrainedConfig()
        self.blocks = nn.ModuleList([Dead(), Dead()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def test_a_layer_whose_result_goes_nowhere_is_left_out() -> None:
    result = cover(DeadModel(), [{"x": torch.ones(2, 8)}])
    assert endings(module.name for module in result.modules) == {"used"}
    assert "no gradient" in result.left_out[0].what


def test_covering_leaves_the_model_as_it_was() -> None:
    model = pico("llama")
    before = {name: p.clone() for name, p in model.named_parameters()}
    next(model.parameters()).requires_grad_(False)
    kept = [p.requires_grad for p in model.parameters()]
    covered(model)
    assert [p.requires_grad for p in model.parameters()] == kept
    assert all(p.grad is None and torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert not any(vars(part)["_forward_hooks"] for part in model.modules())


def test_asking_for_what_is_left_out_alone_is_refused_by_name() -> None:
    tokens = {"input_ids": torch.arange(4, 12)[None]}
    with pytest.raises(InputError, match=r"no module is left(.|\n)*out_proj"):
        cover(made(mamba()), [tokens], ["out_proj"])


def test_the_skeleton_has_the_ties_and_no_memory() -> None:
    model = pico("albert")
    copy = without_weights(model)
    assert all(p.is_meta for p in copy.parameters())
    assert len(list(copy.parameters())) == len(list(model.parameters()))
    assert refused_by_peft(model, find_modules(model)) == {}


def test_scoring_warns_of_what_it_leaves_out() -> None:
    model, tokenizer = made(mamba()), pico_tokenizer()
    with pytest.warns(UserWarning, match="out_proj") as seen:
        scores = adarank.score(model, TEXTS, tokenizer, trials=1)
    assert endings(scores["module"]) == {"in_proj", "x_proj"}
    assert any("dt_proj" in str(warning.message) for warning in seen)


def test_a_model_of_two_towers_is_told_which_part_to_score() -> None:
    tower = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes = tower | {"intermediate_size": 64}
    text = sizes | {"vocab_size": VOCABULARY, "bos_token_id": 2, "eos_token_id": 3}
    model: Any = made(
        CLIPConfig(text_config=text, vision_config=sizes | {"image_size": 32, "patch_size": 16})
    )
    with pytest.raises(InputError, match=r"model\.text_model") as told:
        check_runs(model, {"input_ids": torch.arange(4, 12)[None]}, "last_hidden")
    assert "CLIPModel" in str(told.value)
    assert len(adarank.score(model.text_model, TEXTS, pico_tokenizer(), trials=1)) == 12


@pytest.mark.parametrize("name", ["layers_to_transform", "layers_pattern", "target_parameters"])
def test_options_that_would_have_no_effect_are_refused(name: str) -> None:
    model = pico("bert")
    scores = adarank.score(model, [pico_batch("bert")], trials=1)
    plan = adarank.allocate(scores, budget=2)
    with pytest.raises(InputError, match=f"the plan decides these(.|\n)*{name}"):
        plan.lora_config(model, **{name: [0]})
