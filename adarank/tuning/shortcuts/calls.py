"""What the base model is called with."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_LABELS = "labels"


@dataclass(frozen=True)
class Call:
    """One call of a base model with rows of tokens.

    Attributes:
        inputs: Every tensor given per token, by the argument's name; shape (rows, length) each.
        mask: Which tokens are no padding, bool, shape (rows, length).
    """

    inputs: Mapping[str, Tensor]
    mask: Tensor

    def row_keys(self) -> list[bytes]:
        """Identify each row by its tokens and whatever else is given of them, padding left out."""
        names = sorted(self.inputs)
        real = torch.stack([self.inputs[name][self.mask] for name in names], dim=1).cpu()
        parts = real.split(self.mask.sum(1).tolist())
        return ["/".join(names).encode() + part.numpy().tobytes() for part in parts]


def read_call(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Call | None:
    """Read a call of a base model's forward, of this signature.

    Returns:
        None for a call of another kind: embeddings in place of tokens, no attention mask, a cache
        of earlier tokens, or a tensor that is not given per token.
    """
    bound = signature.bind(*args, **kwargs).arguments
    given = {name: value for name, value in bound.items() if name != "kwargs"}
    given |= bound.get("kwargs", {})
    if given.get("past_key_values") is not None:
        return None
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    ids, mask = tensors.get("input_ids"), tensors.pop("attention_mask", None)
    if ids is None or mask is None or mask.ndim != 2 or _LABELS in tensors:
        return None
    whole_numbers = not any(tensor.is_floating_point() for tensor in tensors.values())
    if not whole_numbers or any(tensor.shape != mask.shape for tensor in tensors.values()):
        return None
    return Call(tensors, mask.bool())
