"""What a model needs of a text beyond its tokens: room for them, and its decoder's inputs."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

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


def with_decoder_inputs(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give an encoder-decoder's decoder the text itself, behind its start token.

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
