"""How alike two scores are, as far as ranks are concerned: only shares of the sum matter."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata


def module_means(table: pd.DataFrame) -> np.ndarray:
    """Reduce a score table to a mean per module, shape (n_modules,), in the table's order."""
    return np.asarray(table.groupby("module", sort=False)["score"].mean())


def total_variation(scores: np.ndarray, others: np.ndarray) -> float:
    """Half the sum of absolute differences between shares: the part of a budget that moves.

    Args:
        scores: Shape (n_modules,), not negative.
        others: The same modules, same order.
    """
    return float(np.abs(scores / scores.sum() - others / others.sum()).sum() / 2)


def spearman(scores: np.ndarray, others: np.ndarray) -> float:
    """Correlate the orders of two scores."""
    return float(np.corrcoef(rankdata(scores), rankdata(others))[0, 1])
