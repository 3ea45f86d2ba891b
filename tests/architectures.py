"""Pico models of every supported architecture: hidden 32, 2 blocks, made in milliseconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AlbertConfig,
    AutoModel,
    BartConfig,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PhiConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    RobertaConfig,
    T5Config,
    ViTConfig,
)

from tests.pico import save_pico_model

VOCABULARY = 37
LENGTHS = (9, 6, 4)
PAD = 1

# The sizes under the names that most architectures give them.
ENCODER: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": PAD,
}
ENDS = {"bos_token_id": 2, "eos_token_id": 3}
DECODER: dict[str, Any] = ENCODER | ENDS | {"num_key_value_heads": 2}


def _without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in ENCODER.items() if key not in keys}


def _vit() -> PretrainedConfig:
    sizes = _without("vocab_size", "max_position_embeddings", "pad_token_id")
    return ViTConfig(**sizes, image_size=16, patch_size=8, num_channels=3)


def _distilbert() -> PretrainedConfig:
    return DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=64,
        max_position_embeddings=64,
        initializer_range=0.2,
        pad_token_id=PAD,
    )


def _deberta() -> PretrainedConfig:
    return DebertaV2Config(
        **ENCODER, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8
    )


def _t5() -> PretrainedConfig:
    return T5Config(
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        initializer_factor=2.0,
        pad_token_id=PAD,
        decoder_start_token_id=PAD,
    )


def _bart() -> PretrainedConfig:
    return BartConfig(
        vocab_size=VOCABULARY,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        init_std=0.2,
        pad_token_id=PAD,
        **ENDS,
        decoder_start_token_id=2,
    )


def _gpt2() -> PretrainedConfig:
    return GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_inner=64,
        n_positions=64,
        initializer_range=0.2,
        pad_token_id=PAD,
        **ENDS,
    )


def _opt() -> PretrainedConfig:
    sizes = _without("intermediate_size", "initializer_range")
    return OPTConfig(**sizes, ffn_dim=64, init_std=0.2, word_embed_proj_dim=32)


# Configurations by the name that the tests use.
CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "bert": lambda: BertConfig(**ENCODER),
    "roberta": lambda: RobertaConfig(**ENCODER),
    "distilbert": _distilbert,
    "electra": lambda: ElectraConfig(**ENCODER, embedding_size=16),
    "deberta-v2": _deberta,
    "albert": lambda: AlbertConfig(**ENCODER, embedding_size=16),
    "gpt2": _gpt2,
    "gpt-neox": lambda: GPTNeoXConfig(**ENCODER, **ENDS),
    "opt": _opt,
    "llama": lambda: LlamaConfig(**DECODER),
    "mistral": lambda: MistralConfig(**DECODER, sliding_window=4),
    "qwen2": lambda: Qwen2Config(**DECODER),
    "gemma": lambda: GemmaConfig(**DECODER, head_dim=8),
    "phi": lambda: PhiConfig(**DECODER),
    "t5": _t5,
    "bart": _bart,
    "vit": _vit,
}


def pico(name: str, seed: int = 0) -> PreTrainedModel:
    """The base model of an architecture in CONFIGS, random, in eval mode."""
    torch.manual_seed(seed)
    return AutoModel.from_config(CONFIGS[name]()).eval()


def pico_batch(name: str, seed: int = 0) -> dict[str, Tensor]:
    """Inputs for pico(name): three rows, texts of differing lengths padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    if name == "vit":
        return {"pixel_values": torch.randn(3, 3, 16, 16, generator=generator)}
    shape = (len(LENGTHS), max(LENGTHS))
    mask = (torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]).long()
    tokens = torch.randint(4, VOCABULARY, shape, generator=generator)
    batch = {"input_ids": torch.where(mask.bool(), tokens, PAD), "attention_mask": mask}
    if CONFIGS[name]().is_encoder_decoder:
        batch["decoder_input_ids"] = torch.randint(4, VOCABULARY, (3, 5), generator=generator)
    return batch


def save_pico(name: str, to: Path) -> Path:
    """Write a pico model of one architecture as a model folder, for the pico tokenizer's texts."""
    config: Any = CONFIGS[name]()
    config.vocab_size = 60
    return save_pico_model(to, config)
