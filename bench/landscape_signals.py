"""What every signal of a study says of the modules, against what the measured surface says."""

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from adarank.allocation.signal import Signal, read_signal
from adarank.allocation.strategies.question import Question
from adarank.allocation.strategies.registry import STRATEGIES, weigh
from adarank.allocation.surface import Surface
from adarank.pipeline.artifacts.places import OF_MODEL, SCORES
from adarank.pipeline.files.tables import read_parquet

Floats = NDArray[np.float64]


def shares_of_strategies(modules: pd.DataFrame, task: str, budget: float) -> dict[str, Floats]:
    """Compute the ranks' shares of every strategy whose signals are scored, `(n_modules,)` each.

    Args:
        modules: A row a module, sorted by name.
        task: Whose signals are read, beside those of the model.
        budget: Average rank, for strategies that go rank by rank.
    """
    signals = _signals(task)
    n = len(modules)
    full = modules[["d_in", "d_out"]].min(axis=1).to_numpy(dtype=np.int64)
    costs = modules["parameters_per_rank"].to_numpy(dtype=np.int64)
    spend = Fraction(budget) * int(costs.sum())
    question = Question(modules, signals, spend, np.zeros(n, dtype=np.int64), full)
    found: dict[str, Floats] = {}
    for name, strategy in STRATEGIES.items():
        scored = all(signal in signals for signal in strategy.signals)
        if strategy.tuner == "lora" and scored and "measured" not in strategy.signals:
            weights = weigh(name, strategy, question)
            if np.ptp(weights) > 0:
                found[name] = weights / weights.sum()
    return found


def _signals(task: str) -> dict[str, Signal]:
    places = [SCORES / place for place in (OF_MODEL, task)]
    paths = [path for place in places for path in sorted(place.glob("*.parquet"))]
    return {path.stem: read_signal(read_parquet(path)[0]) for path in paths}


def of_signals(
    shares: dict[str, Floats],
    surface: Surface,
    resampled: Floats,
    costs: Floats,
    ranks: Floats,
    losses: Floats,
) -> pd.DataFrame:
    """Compare every strategy's shares with the surface.

    A strategy whose ranks are proportional to s values plans by sum_m c_m sqrt(s_m r_m), of which
    proportional ranks are the highest at their cost. `orders_plans` is how well that orders the
    random plans by their losses, without any surface.

    Args:
        shares: By strategy, `(n_modules,)`.
        surface: Fitted to the random plans.
        resampled: Its weights on plans drawn with replacement, `(draws, n_modules)`.
        costs: Parameters per rank, `(n_modules,)`.
        ranks: Of the random plans, `(n_plans, n_modules)`.
        losses: Theirs, `(n_plans,)`.

    Returns:
        A row a strategy: its Spearman correlation with the surface's weights per parameter and
        the 95 % interval over resampled plans, the same with the weights as they are, how many of
        the lowest and of the highest third it finds, and `orders_plans`.
    """
    worth, third = surface.weights / costs, max(1, round(len(costs) / 3))
    lowest, highest = set(np.argsort(worth)[:third]), set(np.argsort(-worth)[:third])
    rows: list[dict[str, Any]] = []
    for name, share in shares.items():
        drawn = [_spearman(share, one / costs) for one in resampled]
        value = np.sqrt(ranks) @ (costs * np.sqrt(share))
        rows.append(
            {
                "strategy": name,
                "per_parameter": _spearman(share, worth),
                "low": float(np.nanquantile(drawn, 0.025)),
                "high": float(np.nanquantile(drawn, 0.975)),
                "per_rank": _spearman(costs * share, surface.weights),
                "lowest_found": len(lowest & set(np.argsort(share, kind="stable")[:third])),
                "highest_found": len(highest & set(np.argsort(-share, kind="stable")[:third])),
                "third": third,
                "orders_plans": -_spearman(value, losses),
            }
        )
    return pd.DataFrame(rows).sort_values("per_parameter", ascending=False, ignore_index=True)


def _spearman(one: Floats, other: Floats) -> float:
    found: Any = spearmanr(one, other)
    return float(found.statistic)
