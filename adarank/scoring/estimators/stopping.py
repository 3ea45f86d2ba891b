"""When the exact estimator has seen enough."""

import numpy as np
import pandas as pd

from adarank.scoring.estimators.exact import Stop
from adarank.scoring.table import summary


def stop_rule(relative_error: float | None, plan_budget: float | None) -> Stop | None:
    """Make a stopping rule; None when neither criterion is set.

    Args:
        relative_error: Stop when every module's standard error is at most this part of its mean.
        plan_budget: Stop when the nearest whole ranks at this average rank are the same after
            two trials in a row.
    """
    if relative_error is None and plan_budget is None:
        return None
    last: list[list[int]] = []

    def stop(table: pd.DataFrame) -> bool:
        means = summary(table)
        precise = relative_error is not None and bool(
            (means["standard_error"] <= relative_error * means["mean"]).all()
        )
        if plan_budget is None:
            return precise
        last.append(nearest_ranks(table, plan_budget))
        return precise or last[-1:] == last[-2:-1]

    return stop


def nearest_ranks(table: pd.DataFrame, budget: float) -> list[int]:
    """Round each module's proportional share of a budget to the nearest whole rank.

    The plan before its repair to the exact budget; here so that an edit to allocation does not
    make scores stale.

    Args:
        table: A score table.
        budget: Average rank, as for a plan.
    """
    modules = table.groupby("module", sort=True)
    mean, cost = modules["score"].mean(), modules["parameters_per_rank"].first()
    share = mean / (mean * cost).sum()
    return np.rint(budget * cost.sum() * share).astype(int).tolist()
