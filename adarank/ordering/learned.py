"""An order of modules that was learned before: a trained comparator, and shares by it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from adarank.ordering.comparator import Comparator
from adarank.ordering.lists import refuse
from adarank.ordering.sorting import wins

Floats = NDArray[np.float64]

REMAKE = "make it again with this version: python -m bench.ship_order"


@dataclass(frozen=True)
class TrainingModel:
    """A model that an order was learned from.

    Attributes:
        name: What it is called in the documentation.
        source: Where it can be had, with its version.
        kinds: The kinds of its modules.
        weights: `weight_hash` of the modules of its first block, by which it is recognised.
    """

    name: str
    source: str
    kinds: tuple[str, ...]
    weights: tuple[str, ...]


@dataclass(frozen=True)
class LearnedOrder:
    """A trained comparator of modules, and what is needed to apply it.

    Attributes:
        comparator: Of standardised features.
        features: Their names, in the comparator's order.
        mean: What is taken off each, shape (n_features,).
        scale: What each is then divided by, shape (n_features,).
        profile: Shares by place, first place to last, at equal distances: the training models'
            mean, as multiples of an equal share.
        models: What it was trained on.
        about: How it was made: command, settings, seed, versions, the training table's hash.
    """

    comparator: Comparator
    features: tuple[str, ...]
    mean: Floats
    scale: Floats
    profile: Floats
    models: tuple[TrainingModel, ...]
    about: Mapping[str, Any]

    def margins(self, table: pd.DataFrame) -> Floats:
        """Compare every module with every other; see `Comparator.margins`.

        Args:
            table: From `module_features`, a row per module.

        Raises:
            OrderingError: Its columns are not the features that the comparator was trained on,
                or a value is not finite.
        """
        self._check(table)
        items = table[list(self.features)].to_numpy(dtype=np.float64)
        return self.comparator.margins((items - self.mean) / self.scale)

    def shares(self, margins: Floats) -> Floats:
        """Share a sum out over modules by their places in the learned order.

        A module's place follows from its wins against all others, so the order in which modules
        are listed does not matter. Modules of equal wins share the mean of their places.

        Args:
            margins: What the method `margins` returned.

        Returns:
            Multiples of an equal share, shape (n_modules,).
        """
        return shares_by_place(wins(margins), self.profile)

    def _check(self, table: pd.DataFrame) -> None:
        names = set(table.columns)
        if names != set(self.features):
            lacking, more = set(self.features) - names, names - set(self.features)
            raise refuse(
                "the comparator was trained on another set of features",
                where="features",
                got=f"{len(more)} unknown ({', '.join(sorted(more)[:3]) or '-'}), "
                f"{len(lacking)} lacking ({', '.join(sorted(lacking)[:3]) or '-'})",
                expected=f"its {len(self.features)} features",
                remedy=REMAKE,
            )
        bad = ~np.isfinite(table.to_numpy(dtype=np.float64)).all(axis=1)
        if bad.any():
            raise refuse(
                f"features of {int(bad.sum())} of {len(table)} modules are not finite",
                where=str(table.index[int(bad.argmax())]),
                expected="finite numbers",
                remedy="check the model's weights",
            )


def shares_by_place(scores: Floats, profile: Floats) -> Floats:
    """Give each item the profile's value at its place; equal scores share their mean place.

    Args:
        scores: Higher comes first, shape (n_items,).
        profile: Values from the first place to the last, at equal distances.
    """
    places = (len(scores) - rankdata(scores, method="average")) / max(len(scores) - 1, 1)
    return np.interp(places, np.linspace(0, 1, len(profile)), profile)


def weight_hash(weight: Tensor) -> str:
    """Hash a weight's values in float32: the same however a checkpoint stores them exactly.

    Returns:
        16 hexadecimal digits of their SHA-256.
    """
    values = np.ascontiguousarray(weight.detach().float().cpu().numpy(), dtype="<f4")
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


def recognised(hashes: Sequence[str], models: Sequence[TrainingModel]) -> TrainingModel | None:
    """Find the training model that one of these weights is of; None for a model never seen."""
    return next((model for model in models if set(hashes) & set(model.weights)), None)
