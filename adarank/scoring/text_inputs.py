"""What a model needs of a text beyond its tokens: room for them, and its decoder's inputs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from adarank.errors import input_error


def refuse_other_inputs(model: nn.Module) -> None:
    """Refuse a model that reads images or sound.

    Raises:
        InputError: Its main input is not token ids.
    """
    reads = getattr(model, "main_input_name", "input_ids")
    if reads != "input_ids":
        raise input_error(
            "the model does not read text",
            where=type(model).__name__,
            got=f"its input is {reads}",
            expected="a model that reads input_ids",
            remedy=f"in Python, give ready batches: adarank.score(model, [{{{reads!r}: ...}}])",
        )


def most_tokens(model: nn.Module) -> int | None:
    """Find how many tokens a text may have at most; None where the model sets no limit."""
    limit: Any = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit <= 0:
        return None
    tables = [
        part
        for name, part in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(part, nn.Embedding)
    ]
    # RoBERTa and its kin count positions on from the padding's index.
    starts = [0 if table.padding_idx is None else table.padding_idx + 1 for table in tables]
    return limit - max(starts, default=0)


def padding_token(tokenizer: PreTrainedTokenizerBase, vocabulary: int | None) -> str:
    """Choose the token that pads: the tokenizer's own if the model knows it, else a stand-in.

    Padding is masked, so any token of the vocabulary will do; the end of text comes first, and
    then one that does not end a text, for heads that look for the last token that is no padding.

    Args:
        tokenizer: The model's own; left as it is.
        vocabulary: How many tokens the model embeds; None if unknown.
    """
    names = ("pad_token", "eos_token", "bos_token", "unk_token")
    for token in (getattr(tokenizer, name) for name in names):
        if token is not None and _known(tokenizer, token, vocabulary):
            return str(token)
    return str(tokenizer.convert_ids_to_tokens(0))


def check_vocabulary(model: nn.Module, batch: Mapping[str, Tensor]) -> None:
    """Refuse token ids that the model has no embedding for.

    Raises:
        InputError: Names the highest id and the number of embeddings.
    """
    size, highest = vocabulary_size(model), int(batch["input_ids"].max())
    if size is not None and highest >= size:
        raise input_error(
            "the tokenizer gives tokens that the model does not know",
            where=type(model).__name__,
            got=f"token {highest}",
            expected=f"ids below {size}, the model's number of embeddings",
            remedy="the tokenizer of this very model",
        )


def vocabulary_size(model: nn.Module) -> int | None:
    """Count the tokens that a model embeds; None where its embedding is no plain table."""
    whole: Any = model
    try:
        table = whole.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    return table.num_embeddings if isinstance(table, nn.Embedding) else None


def any_text(model: nn.Module) -> list[dict[str, Tensor]]:
    """Make one batch of eight arbitrary tokens; none for a model that reads no text."""
    if getattr(model, "main_input_name", "input_ids") != "input_ids":
        return []
    device = next(model.parameters()).device
    size = vocabulary_size(model) or 9
    tokens = (torch.arange(1, 9, device=device) % size)[None]
    batch = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    return [with_decoder_inputs(model, batch)]


def _known(tokenizer: PreTrainedTokenizerBase, token: str, vocabulary: int | None) -> bool:
    found: Any = tokenizer.convert_tokens_to_ids(token)
    return isinstance(found, int) and (vocabulary is None or found < vocabulary)


def with_decoder_inputs(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return an encoder-decoder's decoder inputs: the text itself, behind its start token.

    So BART was trained, and so every text has a decoder state for each of its tokens. (After the
    start token alone, the decoder's self-attention would see one token, and its query and key
    could not matter.) The last token, the end of text, makes room for the start.

    Args:
        model: Any transformers model; one without a decoder of its own gets the batch as it is.
        batch: input_ids and attention_mask, shape (batch, tokens), padded on the right.

    Returns:
        The batch, with decoder_input_ids and decoder_attention_mask of the same shape.

    Raises:
        InputError: The model's config names no start token.
    """
    config: Any = model.config
    if not getattr(config, "is_encoder_decoder", False):
        return dict(batch)
    start = getattr(config, "decoder_start_token_id", None)
    if start is None:
        raise input_error(
            "the decoder's first token is not known",
            where=f"{type(model).__name__}: config.decoder_start_token_id",
            expected="a token's id",
            remedy="set it on model.config (in config.json), or give ready batches",
        )
    shifted = batch["input_ids"].roll(1, dims=1)
    shifted[:, 0] = start
    mask = batch["attention_mask"]
    return {**batch, "decoder_input_ids": shifted, "decoder_attention_mask": mask}
