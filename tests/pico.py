"""Pico models and data: real transformers classes, hidden 32, 2 blocks, made in milliseconds."""

from pathlib import Path

import pandas as pd
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModel,
    BertConfig,
    GPT2Config,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = (
    "who what where when how many did does is was the a of in to and city river king year "
    "name mean live write find long old first red blue house tree train water stone light ?"
).split()


def pico_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over WORDS that adds [CLS] and [SEP]."""
    vocab = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        bos_token="[CLS]",
        eos_token="[SEP]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def pico_bert_config() -> PretrainedConfig:
    """BERT with hidden 32, 2 blocks, 4 heads, feed-forward 64: 12 linear modules."""
    return BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
    )


def pico_gpt2_config() -> PretrainedConfig:
    """GPT-2 of the same size: 8 linear modules, query, key and value in one; no dropout."""
    return GPT2Config(
        vocab_size=len(SPECIAL) + len(WORDS),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_inner=64,
        n_positions=64,
        initializer_range=0.2,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        bos_token_id=SPECIAL.index("[CLS]"),
        eos_token_id=SPECIAL.index("[SEP]"),
        pad_token_id=SPECIAL.index("[PAD]"),
    )


def pico_t5_config() -> PretrainedConfig:
    """T5 of the same size, 2 blocks to read and 2 to write: 32 linear modules; no dropout."""
    return T5Config(
        vocab_size=len(SPECIAL) + len(WORDS),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        initializer_factor=1.0,
        eos_token_id=SPECIAL.index("[SEP]"),
        pad_token_id=SPECIAL.index("[PAD]"),
        decoder_start_token_id=SPECIAL.index("[PAD]"),
    )


def save_pico_model(folder: Path, config: PretrainedConfig | None = None, seed: int = 0) -> Path:
    """Write a pico model and its tokenizer as a model folder (data/model's form)."""
    torch.manual_seed(seed)
    model = AutoModel.from_config(config or pico_bert_config())
    model.save_pretrained(folder)
    pico_tokenizer().save_pretrained(folder)
    return folder


def pico_rows(n: int, n_labels: int = 3, seed: int = 0) -> pd.DataFrame:
    """Rows of text and label; the first word decides the label, so that they can be learned."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for index in range(n):
        label = index % n_labels
        length = int(torch.randint(3, 9, (1,), generator=generator))
        picks = torch.randint(n_labels, len(WORDS), (length,), generator=generator)
        rows.append((" ".join([WORDS[label], *(WORDS[int(p)] for p in picks)]), label))
    return pd.DataFrame(rows, columns=["text", "label"])
