"""Pico adapters as PEFT saves them: mixed ranks, rslora, Conv1D, heads, embeddings."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from tests.pico import pico_bert_config, pico_gpt2_config

IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 20, 8, 5, 3]])


def classifier() -> PreTrainedModel:
    """A pico BERT with a head of three labels, the same one every time."""
    torch.manual_seed(0)
    config = pico_bert_config()
    config.num_labels = 3
    return AutoModelForSequenceClassification.from_config(config).eval()


def causal_lm() -> PreTrainedModel:
    """A pico GPT-2, whose linear layers are Conv1D: weights stored the other way round."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(pico_gpt2_config()).eval()


def adapted(base: PreTrainedModel, seed: int = 1, **options: Any) -> PeftModel:
    """Adapt a model; every tensor of the adapter is random, as after training."""
    model = get_peft_model(base, LoraConfig(**options))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                tensor.normal_(std=0.2, generator=generator)
    return model.eval()


def bert_adapter(folder: Path, **options: Any) -> Path:
    """Mixed ranks and alphas, in a classifier whose head is saved whole."""
    given: dict[str, Any] = {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["query", "value", "dense"],
        "exclude_modules": ["pooler.dense"],
        "rank_pattern": {"layer.0.attention.self.query": 6, r"layer\.1\..*value": 2},
        "alpha_pattern": {"layer.0.attention.self.query": 3},
        "task_type": "SEQ_CLS",
    }
    adapted(classifier(), **(given | options)).save_pretrained(str(folder))
    return folder


def gpt2_adapter(folder: Path, **options: Any) -> Path:
    """rslora on Conv1D layers."""
    given: dict[str, Any] = {
        "r": 5,
        "lora_alpha": 4,
        "use_rslora": True,
        "target_modules": ["c_attn", "c_fc", "c_proj"],
        "fan_in_fan_out": True,
        "task_type": "CAUSAL_LM",
    }
    adapted(causal_lm(), **(given | options)).save_pretrained(str(folder))
    return folder


@torch.no_grad()
def logits(base: PreTrainedModel, folder: Path) -> torch.Tensor:
    """What the model answers with the adapter of a folder, loaded by plain PEFT."""
    return PeftModel.from_pretrained(base, str(folder)).eval()(input_ids=IDS).logits


def in_peft(base: PreTrainedModel, folder: Path) -> dict[str, tuple[int, float]]:
    """Rank and scale of every module, as PEFT builds them from a folder."""
    model = PeftModel.from_pretrained(base, str(folder)).get_base_model()
    return {
        name: (module.r["default"], float(module.scaling["default"]))
        for name, module in model.named_modules()
        if getattr(module, "lora_A", None) or getattr(module, "lora_embedding_A", None)
    }


@torch.no_grad()
def differences(base: PreTrainedModel, folder: Path) -> dict[str, torch.Tensor]:
    """The dense update of every linear layer, as PEFT computes it; shape (d_out, d_in)."""
    model = PeftModel.from_pretrained(base, str(folder)).get_base_model()
    return {
        name: module.scaling["default"]
        * (module.lora_B["default"].weight.double() @ module.lora_A["default"].weight.double())
        for name, module in model.named_modules()
        if getattr(module, "lora_A", None)
    }
