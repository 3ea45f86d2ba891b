"""Pico configurations of many architectures: the sizes under every name that configs give them."""

from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig

NAMES = (
    "albert bart bert big_bird biogpt blenderbot bloom camembert codegen cohere convbert ctrl"
    " deberta deberta-v2 deepseek_v2 deepseek_v3 distilbert electra ernie esm falcon falcon_mamba"
    " flaubert fnet funnel gemma gemma2 gemma3_text glm glm4 glm4_moe gpt2 gpt_bigcode gpt_neo"
    " gpt_neox gptj gpt_oss granite granitemoe helium ibert jamba layoutlm led llama longformer"
    " longt5 m2m_100 mamba mamba2 marian mbart megatron-bert mistral mixtral mobilebert modernbert"
    " mpnet mpt mt5 mvp olmo olmo2 olmoe opt pegasus phi phi3 plbart qwen2 qwen2_moe qwen3"
    " qwen3_moe qwen3_next rembert roberta roformer recurrent_gemma squeezebert stablelm"
    " starcoder2 switch_transformers t5 umt5 xglm xlm xlm-roberta xlnet xmod yoso"
).split()
"""Model types as in CONFIG_MAPPING."""

_SIZES: dict[str, Any] = (
    dict.fromkeys(("vocab_size", "n_vocab"), 37)
    | dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "n_embed"), 32)
    | dict.fromkeys(
        ("intermediate_size", "d_ff", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim"), 64
    )
    | dict.fromkeys(("hidden_dim", "n_inner", "ffn_hidden_size", "d_inner", "dff"), 64)
    | dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers"), 2)
    | dict.fromkeys(("decoder_layers", "num_decoder_layers", "num_encoder_layers"), 2)
    | dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"), 4
    )
    | dict.fromkeys(("decoder_attention_heads", "num_kv_heads"), 4)
    | {"num_key_value_heads": 2, "head_dim": 8, "d_kv": 8, "d_head": 8, "rotary_dim": 8}
    | dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 64)
    | {"embedding_size": 16, "max_seq_length": 64, "max_encoder_position_embeddings": 64}
    | {"max_decoder_position_embeddings": 64, "input_embedding_size": 16}
    | dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4)
    | {"num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1}
    | {"shared_expert_intermediate_size": 32, "n_group": 1, "topk_group": 1, "expert_capacity": 64}
    | {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8}
    | {"v_head_dim": 8, "qk_head_dim": 16, "state_size": 4, "mamba_d_state": 4, "expand": 2}
    | {"time_step_rank": 8, "mamba_dt_rank": 8, "attention_window": 8, "lru_width": 32}
    | {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8}
    | {"linear_value_head_dim": 8, "word_embed_proj_dim": 32, "intra_bottleneck_size": 16}
    | {"attention_dropout": 0.0, "sliding_window": 8, "local_attention": 8}
    | {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 1}
    | {"cls_token_id": 2, "sep_token_id": 3, "num_hash_functions": 2, "query_pre_attn_scalar": 8}
)

_OWN: dict[str, dict[str, Any]] = {
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "falcon": {"num_kv_heads": 4, "new_decoder_architecture": False},
    "funnel": {"block_sizes": [1, 1], "architectures": ["FunnelModel"]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "num_layers": 2},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
    },
    "longformer": {"attention_window": [8, 8]},
    "led": {"attention_window": [8, 8]},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1, "hidden_size": 32, "chunk_size": 8},
    "deepseek_v2": {"num_key_value_heads": 4},
    "deepseek_v3": {"num_key_value_heads": 4},
    "mobilebert": {"num_feedforward_networks": 2, "intra_bottleneck_size": 32},
    "squeezebert": {"embedding_size": 32},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "modernbert": {"global_attn_every_n_layers": 2},
    "recurrent_gemma": {"num_key_value_heads": 1},
    "qwen3_next": {"full_attention_interval": 2},
}


def pico_config(name: str) -> PretrainedConfig:
    """Make an architecture's configuration with two blocks of width 32 and 37 tokens.

    Args:
        name: A model type, one of NAMES.

    Raises:
        KeyError: transformers has no such type.
    """
    kind: Any = CONFIG_MAPPING[name]
    default = kind()
    known = set(default.to_dict()) | set(getattr(kind, "attribute_map", {}))
    sizes = {key: value for key, value in _SIZES.items() if key in known}
    # Under its own name alone, where a config knows a size under two.
    doubled = {alias for alias, own in getattr(kind, "attribute_map", {}).items() if own in sizes}
    sizes = {key: value for key, value in sizes.items() if key not in doubled}
    start = {"decoder_start_token_id": 1} if default.is_encoder_decoder else {}
    return kind(**{**sizes, **start, **_OWN.get(name, {})})
