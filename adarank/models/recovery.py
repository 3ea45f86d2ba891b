"""Weights that a checkpoint stores under another name than the one a model asks for."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from adarank.models.stacks import base_model


@torch.no_grad()
def recover_tied(model: nn.Module, missing: Iterable[str], folder: Path) -> list[str]:
    """Fill in base weights that the checkpoint stores only under the name of what they tie to.

    A language model whose input and output embeddings are one tensor may be stored under the
    output layer's name alone. Under another head (for classification), or without one, that name
    is unknown and the embedding stays random. The class that the checkpoint's config names knows
    the tie, so its base model has the weights.

    Args:
        model: A model as loaded; changed in place.
        missing: Full names of the weights that the checkpoint did not have.
        folder: The model folder, from which the checkpoint's own class is loaded.

    Returns:
        The names that are still missing, in the given order.
    """
    names = list(missing)
    prefix, base = base_model(model)
    start = f"{prefix}." if prefix else ""
    inside = {name for name in names if name.startswith(start)} & _base_names(start, base)
    if not inside:
        return names
    known = _own_weights(folder)
    for name in sorted(inside):
        found = known.get(name.removeprefix(start))
        target = base.get_parameter(name.removeprefix(start))
        if found is not None and found.shape == target.shape:
            target.copy_(found)
            names.remove(name)
    return names


def is_pooler(name: str) -> bool:
    """Whether the last part of a dotted name is a pooler's, which a checkpoint may lack."""
    return "pool" in name.rpartition(".")[2].lower()


def weights_in_words(model: nn.Module, missing: Sequence[str]) -> str:
    """Describe how many weights are missing, and what part of the model's parameters they are."""
    sizes = dict(model.named_parameters())
    lost = sum(sizes[name].numel() for name in missing if name in sizes)
    whole = sum(parameter.numel() for parameter in sizes.values())
    return f"{len(missing)} missing ({lost:,} of {whole:,} parameters), first {missing[0]}"


def _base_names(start: str, base: nn.Module) -> set[str]:
    # Poolers are left: a checkpoint's own class need not have one.
    names = (name for name, _ in base.named_parameters() if not is_pooler(name.split(".")[0]))
    return {f"{start}{name}" for name in names}


def _own_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Load the base weights that the class named by the checkpoint's config has of it."""
    config = transformers.AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    for name in config.architectures or ():
        own: Any = getattr(transformers, str(name), None)
        if isinstance(own, type) and issubclass(own, transformers.PreTrainedModel):
            loader: Any = own  # the library's types leave out what the loading info adds
            model, notes = loader.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
            prefix, base = base_model(model)
            start = f"{prefix}." if prefix else ""
            absent = {str(key).removeprefix(start) for key in notes["missing_keys"]}
            return {k: p for k, p in base.named_parameters() if k not in absent}
    return {}
