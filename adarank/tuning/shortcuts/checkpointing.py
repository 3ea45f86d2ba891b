"""Gradient checkpointing: blocks compute their activations again in the backward."""

from typing import Any

from adarank.errors import input_error


def checkpoint_blocks(model: Any) -> None:
    """Let a transformers model keep what enters its blocks, and no more, for the backward.

    One more forward of each block a step, with the same dropout, so the gradients are the same
    (Chen et al. 2016, arXiv 1604.06174). Only while it is in training mode.

    To be called once the adapters are there. transformers and PEFT make the embeddings of such a
    model require gradients, which only the reentrant kind needs, and with which the backward would
    go through frozen first blocks too; that is undone.

    Args:
        model: A transformers model, without PEFT's wrapper; changed in place.

    Raises:
        InputError: Its architecture cannot.
    """
    try:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.disable_input_require_grads()
    except ValueError as error:
        raise input_error(
            "this architecture has no gradient checkpointing",
            where="finetune.gradient_checkpointing",
            got=type(model).__name__,
            expected="false for this model",
            remedy="finetune.gradient_checkpointing: false; a larger gradient_accumulation also "
            "saves memory",
        ) from error
