"""A learned order as a file: one JSON of a few kilobytes, the same bytes for the same order."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adarank.ordering.comparator import Comparator
from adarank.ordering.learned import REMAKE, LearnedOrder, TrainingModel
from adarank.ordering.lists import refuse

Floats = NDArray[np.float64]

SHIPPED = Path(__file__).with_name("learned_order.json")
_WEIGHTS = ("first", "second", "hidden_bias", "own", "dual", "bias")


def to_json(order: LearnedOrder) -> str:
    """Write an order as JSON, a line per entry, floats to 6 significant digits."""
    state = order.comparator.state_dict()
    entries: dict[str, Any] = {
        "about": dict(order.about),
        "models": [asdict(model) for model in order.models],
        "features": list(order.features),
        "mean": _rounded(order.mean),
        "scale": _rounded(order.scale),
        **{name: _rounded(state[name].numpy()) for name in _WEIGHTS},
        "profile": _rounded(order.profile),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in entries.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load_order(path: Path = SHIPPED) -> LearnedOrder:
    """Read an order that `to_json` wrote; by default the one that comes with the package.

    Raises:
        OrderingError: The file cannot be read, or its parts do not fit together.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        arrays = {
            name: np.array(entries[name], dtype=np.float64)
            for name in (*_WEIGHTS, "mean", "scale", "profile")
        }
        features = tuple(entries["features"])
        comparator = Comparator(len(features), hidden=arrays["own"].size)
        comparator.load_state_dict({name: torch.from_numpy(arrays[name]) for name in _WEIGHTS})
        models = [_training_model(entry) for entry in entries["models"]]
        about = dict(entries["about"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise refuse(
            "the learned order cannot be read", where=str(path), got=str(error), remedy=REMAKE
        ) from None
    _check_arrays(arrays, len(features), path)
    mean, scale, profile = (arrays[name] for name in ("mean", "scale", "profile"))
    return LearnedOrder(comparator, features, mean, scale, profile, tuple(models), about)


def _training_model(entry: Mapping[str, Any]) -> TrainingModel:
    kinds, weights = tuple(entry["kinds"]), tuple(entry["weights"])
    return TrainingModel(entry["name"], entry["source"], kinds, weights)


def _check_arrays(arrays: Mapping[str, Floats], n_features: int, path: Path) -> None:
    finite = all(np.isfinite(values).all() for values in arrays.values())
    fit = arrays["mean"].shape == arrays["scale"].shape == (n_features,)
    if not (finite and fit and arrays["profile"].ndim == 1 and len(arrays["profile"]) > 1):
        raise refuse(
            "the learned order's numbers do not fit together",
            where=str(path),
            got="not all finite" if not finite else "other lengths",
            expected=f"finite numbers, for {n_features} features",
            remedy=REMAKE,
        )


def _rounded(values: Floats) -> Any:
    def shorter(value: Any) -> Any:
        return [shorter(v) for v in value] if isinstance(value, list) else float(f"{value:.6g}")

    return shorter(values.tolist())
