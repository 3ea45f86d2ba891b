"""Second moments of the inputs of layers, gathered once for layers that share their input."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adarank.models.modules import Module
from adarank.scoring.signals.objective import IGNORED, Batch, Objective
from adarank.scoring.signals.weights import layers_of, not_finite


@dataclass(frozen=True)
class Moments:
    """Sums over tokens, in float64, that add up over batches.

    Attributes:
        count: Number of tokens.
        total: Their sum, shape (d_in,).
        products: Sum of their outer products, shape (d_in, d_in).
    """

    count: int
    total: Tensor
    products: Tensor

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count, self.total + other.total, self.products + other.products
        )

    def variances(self) -> np.ndarray:
        """Compute the variances along the principal directions, highest first, shape (d_in,)."""
        mean = self.total / max(self.count, 1)
        centred = self.products - self.count * torch.outer(mean, mean)
        values = torch.linalg.eigvalsh(centred / max(self.count, 1))
        return values.flip(0).clamp(min=0).cpu().numpy()


# Layers by index, and the moments of the input that they share.
Shared = dict[tuple[int, ...], Moments]


@torch.no_grad()
def gather_moments(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Shared:
    """Gather the moments of the modules' inputs at the batches' real tokens, padding left out.

    Args:
        model: A transformers model; set to evaluation mode.
        batches: Its inputs; `attention_mask` marks padding.
        modules: Whose inputs are looked at.
        objective: Its loss is what runs the model.
        advance: Called after each batch.

    Returns:
        By the indices of the modules that are given the very same tensors (query, key and value
        of a block) their moments.

    Raises:
        RunError: An input is not finite.
    """
    model.eval()
    found: Shared = {}
    for batch in batches:
        for group, tokens in real_inputs(model, batch, modules, objective):
            new = _moments(tokens.double())
            if not bool(torch.isfinite(new.products).all()):
                raise not_finite("the input", modules[group[0]])
            found[group] = found[group] + new if group in found else new
        advance()
    return found


def real_inputs(
    model: nn.Module, batch: Batch, modules: Sequence[Module], objective: Objective
) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Yield the modules' inputs at a batch's real tokens, shape (tokens, d_in).

    Each comes once, with the indices of the modules that are given the very same tensors.
    """
    encoder = _encoder_layers(model)
    inputs = _inputs(model, batch, modules, objective)
    for group in _same_inputs(inputs):
        mask = _mask(model, batch, modules[group[0]], encoder)
        yield group, torch.cat([_real(one, mask) for one in inputs[group[0]]])


def _inputs(
    model: nn.Module, batch: Batch, modules: Sequence[Module], objective: Objective
) -> list[list[Tensor]]:
    inputs: list[list[Tensor]] = [[] for _ in modules]
    with ExitStack() as hooks:
        for kept, module in zip(inputs, modules, strict=True):
            for layer in layers_of(model, module):

                def hook(_layer: nn.Module, given: Any, into: list[Tensor] = kept) -> None:
                    into.append(given[0])

                hooks.callback(layer.register_forward_pre_hook(hook).remove)
        objective.loss(model, batch)
    return inputs


def _same_inputs(inputs: list[list[Tensor]]) -> list[tuple[int, ...]]:
    # All inputs are alive, so an identity is one tensor's alone.
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, of_module in enumerate(inputs):
        if of_module:
            groups.setdefault(tuple(map(id, of_module)), []).append(index)
    return [tuple(group) for group in groups.values()]


def _moments(tokens: Tensor) -> Moments:
    return Moments(len(tokens), tokens.sum(dim=0), tokens.mT @ tokens)


def _real(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return the real tokens, shape (tokens, features), of what came with or without rows."""
    flat = values.reshape(-1, values.shape[-1])
    # A layer may be given something else than the batch's tokens: relative positions, say.
    return flat if mask is None or mask.numel() != len(flat) else flat[mask.flatten().bool()]


def _encoder_layers(model: nn.Module) -> set[int]:
    config: Any = getattr(model, "config", None)
    if not getattr(config, "is_encoder_decoder", False):
        return set()
    whole: Any = model
    return {id(layer) for layer in whole.get_encoder().modules()}


def _mask(model: nn.Module, batch: Batch, module: Module, encoder: set[int]) -> Tensor | None:
    layer = layers_of(model, module)[0]
    reads_encoder = module.kind in ("cross_key", "cross_value", "cross_kv")
    if not encoder or id(layer) in encoder or reads_encoder:
        return batch.get("attention_mask")
    labels = batch.get("labels")
    if labels is not None and labels.dim() == 2 and "decoder_input_ids" not in batch:
        # The decoder's inputs are the labels, moved on by the start token.
        return labels != IGNORED
    return batch.get("decoder_attention_mask", batch.get("attention_mask"))
