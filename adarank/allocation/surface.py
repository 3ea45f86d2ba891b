"""A response surface over plans: what a rank in each module was worth in short training runs.

Of plans of one budget, each trained once, the loss is fitted as

    loss(r) = c - sum_m w_m sqrt(r_m)

by ridge regression. The root makes every further rank of a module worth less than the one before.
Each run is one equation, so a surface needs more runs than a handful, and its runs are part of what
a plan made from it costs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import Ridge, RidgeCV

from adarank.allocation.signal import COMPONENT
from adarank.errors import input_error

Floats = NDArray[np.float64]
RIDGES = np.logspace(-3, 3, 25)
"""Strengths of the ridge that are tried; the best by leaving one plan out is taken."""

FEWEST = 4


@dataclass(frozen=True)
class Surface:
    """A fitted response surface.

    Attributes:
        modules: Names, sorted.
        weights: w, the fall of the loss for each unit of sqrt(rank), `(n_modules,)`.
        constant: c.
        ridge: The strength that was chosen.
        left_out: Every plan's loss as predicted by a surface that has not seen it, its ridge
            chosen without it too, `(n_plans,)`.
    """

    modules: tuple[str, ...]
    weights: Floats
    constant: float
    ridge: float
    left_out: Floats

    def predict(self, ranks: Floats) -> Floats:
        """Predict the losses of plans, `(n_plans, n_modules)`."""
        return self.constant - np.sqrt(ranks) @ self.weights


def fit_surface(ranks: pd.DataFrame, losses: Floats) -> Surface:
    """Fit a surface to plans and their losses.

    Args:
        ranks: A row a plan, a column a module.
        losses: On validation, one a plan; or how far each is from uniform's of the same seed.

    Raises:
        InputError: Fewer than 4 plans, or losses that are not finite.

    Example:
        Two modules, of which only the first matters:

        >>> ranks = pd.DataFrame({"a": [0, 1, 2, 3, 4], "b": [4, 3, 2, 1, 0]})
        >>> found = fit_surface(ranks, 3 - 0.5 * np.sqrt(ranks["a"].to_numpy()))
        >>> found.weights.round(2).tolist()
        [0.5, 0.0]
    """
    if len(losses) < FEWEST or not np.isfinite(losses).all():
        raise input_error(
            "no surface can be fitted to these runs",
            where="losses",
            got=f"{len(losses)} losses, {int(np.isfinite(losses).sum())} of them finite",
            expected=f"at least {FEWEST}, all finite",
            remedy="train more plans, at a lower learning rate where runs diverge",
        )
    names = sorted(map(str, ranks.columns))
    features = np.sqrt(ranks[names].to_numpy(dtype=np.float64))
    found: Any = RidgeCV(RIDGES).fit(features, losses)
    everything = np.arange(len(losses))
    left_out = np.empty(len(losses))
    for plan in everything:
        others = everything != plan
        model: Any = RidgeCV(RIDGES).fit(features[others], losses[others])
        left_out[plan] = model.predict(features[plan : plan + 1])[0]
    return Surface(
        tuple(names), -found.coef_, float(found.intercept_), float(found.alpha_), left_out
    )


def resampled_weights(
    ranks: pd.DataFrame, losses: Floats, ridge: float, *, draws: int = 1000, seed: int = 0
) -> Floats:
    """Fit the weights again to plans drawn with replacement, `(draws, n_modules)`."""
    features = np.sqrt(ranks[sorted(ranks.columns)].to_numpy(dtype=np.float64))
    rng = np.random.default_rng(seed)
    found = np.empty((draws, features.shape[1]))
    for draw in range(draws):
        plans = rng.integers(len(losses), size=len(losses))
        model: Any = Ridge(alpha=ridge).fit(features[plans], losses[plans])
        found[draw] = -model.coef_
    return found


def explained(losses: Floats, predicted: Floats) -> float:
    """Share of the losses' variance that predictions explain: R2, negative where they harm."""
    rest, all_ = np.sum((losses - predicted) ** 2), np.sum((losses - losses.mean()) ** 2)
    return float(1 - rest / all_)


def as_scores(surface: Surface, modules: pd.DataFrame, most: int) -> pd.DataFrame:
    """Make the score table of the signal `measured`: a component a rank.

    The k-th rank of a module is worth w (sqrt(k) - sqrt(k - 1)), nothing where w is below 0.

    Args:
        surface: The fitted surface.
        modules: A row a module, as in a score table: module, block, kind, d_in, d_out,
            parameters_per_rank.
        most: Highest rank that the runs had: beyond it nothing is known.
    """
    by_name = dict(zip(surface.modules, np.maximum(surface.weights, 0.0), strict=True))
    worth = np.array([by_name[name] for name in modules["module"]])
    steps = np.diff(np.sqrt(np.arange(most + 1)))
    tables = [
        modules.assign(**{"trial": 0, COMPONENT: k, "score": worth * steps[k]}) for k in range(most)
    ]
    return pd.concat(tables, ignore_index=True)
