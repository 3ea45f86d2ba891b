"""Pico models with a head and a loss, and labelled batches for them."""

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from tests.architectures import CONFIGS, PAD, pico_batch

WRITERS = {"t5": AutoModelForSeq2SeqLM, "bart": AutoModelForSeq2SeqLM}
TEXT = [name for name in CONFIGS if name != "vit"]
CAUSAL = ["gpt2", "llama", "opt"]


def headed(name: str, seed: int = 0, *, causal: bool = False) -> nn.Module:
    """An architecture with three labels, or as it writes text."""
    torch.manual_seed(seed)
    config = CONFIGS[name]()
    if causal:
        return AutoModelForCausalLM.from_config(config).eval()
    if name in WRITERS:
        return WRITERS[name].from_config(config).eval()
    config.num_labels = 3
    return AutoModelForSequenceClassification.from_config(config).eval()


def labelled(name: str, seed: int = 0, *, causal: bool = False) -> dict[str, Tensor]:
    """Three rows of differing lengths with their labels."""
    batch = pico_batch(name, seed)
    words = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    if causal:
        return batch | {"labels": words}
    if name in WRITERS:
        del batch["decoder_input_ids"]
        words = words[:, :5].clone()
        words[2, 3:] = -100
        return batch | {"labels": words}
    assert (batch["input_ids"] == PAD).any()
    return batch | {"labels": torch.tensor([0, 2, 1])}


def rows(batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Each row as a batch of its own."""
    n = len(batch["input_ids"])
    return [{key: value[row : row + 1] for key, value in batch.items()} for row in range(n)]
