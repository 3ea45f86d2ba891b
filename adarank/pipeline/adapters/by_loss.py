"""An adapter's updates split by what the loss sees of them, measured on texts."""

from pathlib import Path

from adarank.errors import input_error
from adarank.factors.svd import Components
from adarank.pipeline.adapters.measuring import Statistics, measure
from adarank.pipeline.adapters.reading import Adapter, refuse_non_finite
from adarank.pipeline.params.probe import given_texts
from adarank.tuning.update_statistics import components_seen


def by_texts(
    adapter: Adapter, model: Path, texts: Path, rows: int, max_length: int
) -> dict[str, Components]:
    """Read texts, run them through the adapted model, and split its updates by the loss.

    Raises:
        InputError: No texts, or see `measuring.measure`.
    """
    lines = given_texts(texts, "--texts")[:rows]
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
        found[part.name] = components_seen(update, seen.modules[part.name], seen.texts)
    return found
