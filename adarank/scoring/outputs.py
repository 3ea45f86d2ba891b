"""The output on which disturbed copies of a model are compared."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from adarank.errors import input_error
from adarank.models.stacks import base_model

Output = Literal["pooled", "logits", "last_hidden"]
Batch = Mapping[str, Tensor]


def compared_output(model: nn.Module, batch: Batch, output: Output) -> Tensor:
    """Run the model and take the compared output, padding left out.

    Args:
        model: A transformers model.
        batch: Its inputs, each of shape (batch, ...); `attention_mask` marks padding.
        output: `pooled`: the pooler's output or, without a pooler, the last hidden state of the
            summarising token (the first of an encoder, the last of a causal model).
            `logits`: the head's, at every token or once per text. `last_hidden`: every token.

    Returns:
        Shape (rows, coordinates): a row per text, or per token that is not padding.

    Raises:
        InputError: The model has no such output.
    """
    result = model(**batch, **_plain_call(model, output))
    if output == "pooled":
        return _pooled(model, result, batch)
    values = result.get("logits") if output == "logits" else _last_hidden(result)
    if values is None:
        raise _no_output(model, output, result)
    return _without_padding(values, batch)


def chosen_output(wanted: str, model: nn.Module) -> Output:
    """Return the output to compare: the one named or, for `auto`, the one that fits the model.

    Args:
        wanted: `pooled`, `logits`, `last_hidden` or `auto`: every token of a model that writes
            text (causal, or encoder and decoder), the pooled output of any other.
        model: A transformers model.
    """
    named: dict[str, Output] = {name: name for name in ("pooled", "logits", "last_hidden")}
    return named.get(wanted) or ("last_hidden" if is_causal(model) else "pooled")


def is_causal(model: nn.Module) -> bool:
    """Whether the last token summarises a text: a causal model, or a decoder's output."""
    config: Any = model.config
    kind = config.model_type
    causal_only = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and (
        kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    return bool(causal_only or config.is_encoder_decoder)


def summary_rows(model: nn.Module, batch: Batch) -> Tensor:
    """Find the token of each text that its pooled output is read from.

    Returns:
        Shape (batch,): 0 for encoders, the last token that is not padding for causal models.
    """
    inputs = batch.get("decoder_input_ids", next(iter(batch.values())))
    if not is_causal(model):
        return torch.zeros(len(inputs), dtype=torch.long, device=inputs.device)
    mask = _mask(batch)
    if mask is None:
        return torch.full((len(inputs),), inputs.shape[1] - 1, device=inputs.device)
    return (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)


def _plain_call(model: nn.Module, output: Output) -> dict[str, Any]:
    config: Any = model.config
    call = {"return_dict": True} | ({"use_cache": False} if hasattr(config, "use_cache") else {})
    # T5 with its head: encoder and decoder without a base model around them.
    alone = "For" in type(model).__name__ and base_model(model)[1] is model
    return call | ({"output_hidden_states": True} if alone and output != "logits" else {})


def _last_hidden(result: Any) -> Tensor | None:
    found = result.get("last_hidden_state")
    layers = result.get("decoder_hidden_states") or result.get("hidden_states")
    return layers[-1] if found is None and layers else found


def _pooled(model: nn.Module, result: Any, batch: Batch) -> Tensor:
    pooled = result.get("pooler_output")
    if pooled is not None:
        return pooled
    hidden = _last_hidden(result)
    if hidden is None:
        raise _no_output(model, "pooled", result)
    return hidden[torch.arange(len(hidden), device=hidden.device), summary_rows(model, batch)]


def _without_padding(values: Tensor, batch: Batch) -> Tensor:
    if values.dim() == 2:
        return values
    mask = _mask(batch)
    if mask is None or mask.shape != values.shape[:2]:
        return values.flatten(0, 1)
    return values[mask.bool()]


def _mask(batch: Batch) -> Tensor | None:
    of_decoder = "decoder_input_ids" in batch
    return batch.get("decoder_attention_mask" if of_decoder else "attention_mask")


def _no_output(model: nn.Module, output: str, result: Any) -> Exception:
    return input_error(
        "the model has no such output to compare",
        where="score.output",
        got=f"{output} of {type(model).__name__}",
        expected=f"one that it returns: {', '.join(result.keys())}",
        remedy="score.output: last_hidden (any base model), or a checkpoint with a head for logits",
    )
