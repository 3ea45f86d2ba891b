"""The ranges of SortNet's parameters."""

from collections.abc import Mapping
from typing import Any

from adarank.errors import InputError, Problem
from adarank.ordering.lists import OrderingError
from adarank.ordering.metrics import list_metric

_AT_LEAST = {
    "hidden": 1,
    "iterations": 1,
    "epochs": 1,
    "batch_size": 1,
    "patience": 1,
    "weight_decay": 0,
}
_CHOICES = {
    "selection": ("active", "random"),
    "discount": ("letor", "standard"),
    "empty": ("zero", "one", "skip"),
    "ranking": ("sort", "wins"),
}


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters of SortNet that are out of range.

    Raises:
        OrderingError: Every one of them, at once.
    """
    expected = {
        name: f"at least {low}" for name, low in _AT_LEAST.items() if not parameters[name] >= low
    }
    expected |= {
        name: f"one of {', '.join(known)}"
        for name, known in _CHOICES.items()
        if parameters[name] not in known
    }
    if not parameters["learning_rate"] > 0:
        expected["learning_rate"] = "above 0"
    if not 0 < parameters["validation_fraction"] < 1:
        expected["validation_fraction"] = "above 0 and below 1"
    if expected:
        raise OrderingError(
            *(
                Problem("out of range", where=name, got=parameters[name], expected=limit)
                for name, limit in expected.items()
            )
        )
    try:
        list_metric(parameters["metric"], parameters["discount"])
    except InputError as error:
        raise OrderingError(*error.problems) from None
