"""Norms of the gradients that a sketch leaves at every module."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from adarank.models.modules import Module, resolve
from adarank.scoring.engines.token_gradients import (
    Parts,
    replaceable,
    squared_norms,
    token_gradients,
)
from adarank.scoring.noise import Noise, deviation
from adarank.scoring.outputs import Batch


class GradientNorms:
    """Takes s_W^2 ||G_W||^2 + s_b^2 ||G_b||^2 of every module during a backward.

    ||G_W||^2 comes from the tokens, text by text, where the layers are plain linear ones that are
    given texts by tokens. The texts' u are independent, so E||sum_i G_i||^2 = sum_i E||G_i||^2
    over texts i, and the sum scatters less without the products between texts. (Rows must not see
    one another.) Layers that are given tokens in another shape count as one text. Any other
    weight's gradient, and a bias's, is made, reduced to its norm and freed.

    Args:
        model: In evaluation mode.
        modules: What is scored.
        noise: Gives the standard deviations s, which are computed here, once.

    Attributes:
        parameters: What must require gradients.
    """

    def __init__(self, model: nn.Module, modules: Sequence[Module], noise: Noise) -> None:
        layers = [model.get_submodule(resolve(model, module.name)) for module in modules]
        self._owned = [_disturbed_parameters(layer, noise) for layer in layers]
        self.parameters = list(dict.fromkeys(p for owned in self._owned for p in owned))
        self._variances = {id(p): deviation(p, noise) ** 2 for p in self.parameters}
        holders: dict[int, list[nn.Module]] = {id(owned[0]): [] for owned in self._owned}
        for part in model.modules():
            holders.get(id(getattr(part, "weight", None)), []).append(part)
        self._from_tokens = {w: held for w, held in holders.items() if all(map(replaceable, held))}

    def __call__(self, batch: Batch, backward: Callable[[], None]) -> np.ndarray:
        """Run a backward and give the modules' squares.

        Args:
            batch: A batch of texts.
            backward: Runs the model on the batch, and a backward. Run again where a weight proves
                to be used outside of its layer, so that tokens do not tell all of its gradient.

        Returns:
            Shape (n_modules,).
        """
        while True:
            found, elsewhere = self._once(len(next(iter(batch.values()))), backward)
            if not elsewhere:
                break
            for weight in elsewhere:
                del self._from_tokens[weight]
        return np.array(
            [sum(self._variances[id(p)] * found[id(p)] for p in owned) for owned in self._owned]
        )

    def _once(self, texts: int, backward: Callable[[], None]) -> tuple[dict[int, float], set[int]]:
        found = dict.fromkeys(self._variances, 0.0)
        elsewhere: set[int] = set()

        def from_tokens(weight: int, parts: Parts) -> None:
            found[weight] = float(squared_norms(*_by_text(parts, texts)).sum())

        def from_gradient(parameter: Tensor) -> None:
            gradient, parameter.grad = parameter.grad, None
            if gradient is not None and id(parameter) in self._from_tokens:
                elsewhere.add(id(parameter))
            elif gradient is not None:
                found[id(parameter)] = gradient.float().square().sum().item()

        handles = [p.register_post_accumulate_grad_hook(from_gradient) for p in self.parameters]
        try:
            with token_gradients(self._from_tokens, from_tokens):
                backward()
        finally:
            for handle in handles:
                handle.remove()
        return found, elsewhere


def _by_text(parts: Parts, texts: int) -> tuple[Tensor, Tensor]:
    """Join a weight's applications along the tokens, shapes (texts or 1, tokens, features)."""
    # As many tokens as texts could be tokens by texts.
    apart = all(
        inputs.dim() == 3 and len(inputs) == texts != inputs.shape[1] for inputs, _ in parts
    )
    if not apart:
        parts = [(x.flatten(0, -2)[None], g.flatten(0, -2)[None]) for x, g in parts]
    if len(parts) == 1:
        return parts[0]
    inputs, gradients = zip(*parts, strict=True)
    return torch.cat(inputs, dim=1), torch.cat(gradients, dim=1)


def _disturbed_parameters(layer: nn.Module, noise: Noise) -> list[nn.Parameter]:
    names = ("weight", "bias") if noise.bias else ("weight",)
    found = [getattr(layer, name, None) for name in names]
    return [parameter for parameter in found if parameter is not None]
