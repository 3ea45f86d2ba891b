"""How far apart two outputs are, and a score from the distances among draws."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Distance = Literal["l1", "l2", "kl"]
Pairs = Literal["all", "disjoint"]


def distances(outputs: Tensor, others: Tensor, distance: Distance) -> Tensor:
    """Sum over rows of the distance between outputs, every one against every other.

    Args:
        outputs: Shape (n, rows, coordinates).
        others: Shape (m, rows, coordinates).
        distance: Per row, over its coordinates: `l1` the mean absolute difference; `l2` the root
            mean squared difference; `kl` the mean of KL(p, q) and KL(q, p), in nats, of the
            softmax distributions of the row.

    Returns:
        Shape (n, m), float64.
    """
    between = _BETWEEN[distance]
    return torch.stack([between(one, others).double().sum(-1) for one in outputs])


def trial_scores(pairwise: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Turn the distances among n = 2 * n_trials draws into a score per trial.

    Trial t owns the draws 2t and 2t + 1. With `disjoint` pairs its score is their distance, as in
    the paper. With `all`, the n (n - 1) / 2 pairs make one U-statistic (Gini's mean difference;
    Hoeffding 1948), whose jackknife pseudo-values n U - (n - 1) U_without_i, averaged over the
    trial's two draws, are its score. Their mean over trials is exactly U. Their standard error
    is that of means of pairs of pseudo-values: it estimates the jackknife's (Arvesen 1969), with
    n / 2 - 1 degrees of freedom in place of n - 1. Where the distance is no metric (`kl`), a
    trial may be negative; U, a mean of distances, never is.

    Args:
        pairwise: Shape (n, n), symmetric, zero diagonal.
        pairs: Which pairs count.

    Returns:
        Shape (n_trials,).
    """
    n = len(pairwise)
    if pairs == "disjoint" or n == 2:
        return pairwise[np.arange(0, n, 2), np.arange(1, n, 2)]
    total = pairwise.sum()
    statistic = total / (n * (n - 1))
    without = (total - 2 * pairwise.sum(axis=1)) / ((n - 1) * (n - 2))
    pseudo = n * statistic - (n - 1) * without
    return pseudo.reshape(-1, 2).mean(axis=1)


def _l1(one: Tensor, others: Tensor) -> Tensor:
    return (others - one).abs().mean(-1)


def _l2(one: Tensor, others: Tensor) -> Tensor:
    return (others - one).square().mean(-1).sqrt()


def _kl(one: Tensor, others: Tensor) -> Tensor:
    log_p, log_q = one.log_softmax(-1), others.log_softmax(-1)
    # KL(p, q) + KL(q, p) = sum of (p - q)(log p - log q).
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1) / 2


_BETWEEN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": _l1, "l2": _l2, "kl": _kl}
