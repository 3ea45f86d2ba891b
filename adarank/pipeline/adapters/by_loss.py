"""An adapter's updates split by what the loss sees of them, measured on texts."""

from dataclasses import replace
from pathlib import Path

from adarank.errors import InputError, input_error
from adarank.factors.loss_metric import decompose_by_loss, regularised
from adarank.factors.svd import Components
from adarank.pipeline.adapters.measuring import Statistics, measure
from adarank.pipeline.adapters.reading import Adapter, refuse_non_finite
from adarank.pipeline.params.probe import text_lines

_SHARE = 0.01
"""How much of white inputs and gradients is added to the measured ones."""


def by_texts(
    adapter: Adapter, model: Path, texts: Path, rows: int, max_length: int
) -> dict[str, Components]:
    """Read texts, run them through the adapted model, and split its updates by the loss.

    Raises:
        InputError: No texts, or see `measuring.measure`.
    """
    try:
        lines = text_lines(texts)[:rows]
    except InputError as error:
        raise InputError(*(replace(p, where="--texts") for p in error.problems)) from None
    if not lines:
        raise input_error("no text in this file", where="--texts", got=str(texts))
    return decomposed_by_loss(adapter, measure(adapter, model, lines, max_length=max_length))


def decomposed_by_loss(adapter: Adapter, seen: Statistics) -> dict[str, Components]:
    """Split every linear layer's update by what the loss sees of it; see `factors.loss_metric`.

    Raises:
        InputError: Names every module with a factor that is not finite.
    """
    refuse_non_finite(adapter)
    found: dict[str, Components] = {}
    for part, update in adapter.updates():
        one = seen.modules[part.name]
        energy = one.gradients.trace().clamp(min=1e-300)  # the weights in the sum of inputs
        inputs = regularised(one.inputs / energy, update.a, _SHARE)
        gradients = regularised(one.gradients / seen.texts, update.b.T, _SHARE)
        found[part.name] = decompose_by_loss(update, inputs, gradients)
    return found
