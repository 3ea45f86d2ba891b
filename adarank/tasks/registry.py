"""The types of task there are, by name."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from adarank.errors import input_error
from adarank.tasks.base import Task
from adarank.tasks.causal_lm import CausalLM
from adarank.tasks.classification import Classification
from adarank.tasks.options import Options
from adarank.tasks.regression import Regression
from adarank.tasks.seq2seq import Seq2Seq

CLASSES = {
    "classification": Classification,
    "regression": Regression,
    "causal_lm": CausalLM,
    "seq2seq": Seq2Seq,
}
"""What each task of catalogue.TASKS is made by."""

_DEFAULTS = Options()


def make_task(
    description: Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    options: Options = _DEFAULTS,
) -> Task:
    """Make the task that a dataset's description names.

    Args:
        description: `type`, and what that task needs to know of the data, such as `labels`.
        tokenizer: The model's; one without a padding token pads with its end-of-text token.
        max_length: Longest input, in tokens.
        options: How the task is learned and measured.

    Raises:
        InputError: No such task; a tokenizer that cannot pad; max_length over the model's limit;
            what the task itself cannot do with the data or the options.
    """
    name = description.get("type")
    if name not in CLASSES:
        raise input_error(
            "no such task",
            where="dataset.type",
            got=name,
            expected=f"one of: {', '.join(sorted(CLASSES))}",
            remedy="correct dataset.type and download the task again",
        )
    _check_length(tokenizer, max_length)
    _ensure_padding(tokenizer)
    return CLASSES[name].from_description(description, tokenizer, max_length, options)


def _check_length(tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    if max_length > tokenizer.model_max_length:
        raise input_error(
            "longer than the model takes",
            where="max_length",
            got=max_length,
            expected=f"at most {tokenizer.model_max_length} tokens",
            remedy=f"max_length: {tokenizer.model_max_length}, or less",
        )


def _ensure_padding(tokenizer: PreTrainedTokenizerBase) -> None:
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise input_error(
            "the tokenizer can neither pad nor end a text",
            where="data/model",
            expected="a pad_token or an eos_token",
            remedy="another model.source",
        )
