"""What a model scores that has learned nothing but train's commonest answer or its mean."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from sklearn import metrics as sk

from adarank.comparison.records import Cell

_CORRELATIONS = ("pearson", "spearman")


@dataclass(frozen=True)
class Baseline:
    """The metrics of a constant answer.

    Attributes:
        answer: What is answered, in words: `the commonest label`, `the mean of train`.
        metrics: Its metrics, by name, in the metric's own unit.
    """

    answer: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class BaselineCheck:
    """Which cells do better than a constant answer.

    Attributes:
        metric: The headline metric.
        answer: As in Baseline.
        value: The baseline's metric.
        beaten: By cell, whether at least one of its seeds beats the baseline.
    """

    metric: str
    answer: str
    value: float
    beaten: dict[str, bool]

    @property
    def not_beaten_by(self) -> list[str]:
        """The cells that do not beat it."""
        return [name for name, beats in self.beaten.items() if not beats]

    @property
    def nothing_learned(self) -> bool:
        """Whether no cell beats it."""
        return bool(self.beaten) and not any(self.beaten.values())


def commonest_label(
    train: ArrayLike, test: ArrayLike, answer: str = "the commonest label"
) -> Baseline:
    """Answer train's commonest label for every test row.

    Args:
        train: Train's labels, of any type, shape (n_train,); of equally common ones, the first.
        test: Test's labels, shape (n_test,).
        answer: What is answered, in words.

    Returns:
        accuracy, macro_f1, matthews (0 for a constant answer), auc (0.5), exact_match (the
        accuracy again, for written answers) and loss: the cross-entropy in nats of answering
        train's label frequencies, with one row added to each label of either split.

    Example:
        >>> commonest_label([0, 0, 1], [0, 1, 1, 1]).metrics["accuracy"]
        0.25
    """
    learned, actual = list(np.asarray(train).tolist()), list(np.asarray(test).tolist())
    counts = Counter(learned)
    common = counts.most_common(1)[0][0]
    labels = {*learned, *actual}
    total = len(learned) + len(labels)
    nats = {label: -math.log((counts[label] + 1) / total) for label in labels}
    share = sum(label == common for label in actual) / len(actual)
    zero: Any = 0
    codes = {label: code for code, label in enumerate(sorted(labels, key=repr))}
    coded, constant = [codes[label] for label in actual], [codes[common]] * len(actual)
    macro: Any = sk.f1_score(coded, constant, average="macro", zero_division=zero)
    return Baseline(
        answer,
        {
            "accuracy": share,
            "exact_match": share,
            "macro_f1": float(macro),
            "matthews": 0.0,
            "auc": 0.5,
            "loss": sum(nats[label] for label in actual) / len(actual),
        },
    )


def mean_answer(train: ArrayLike, test: ArrayLike) -> Baseline:
    """Answer train's mean for every test row.

    Args:
        train: Train's numbers, shape (n_train,).
        test: Test's numbers, shape (n_test,).

    Returns:
        mae and rmse in the targets' unit; pearson and spearman as 0: a constant answer is
        correlated with nothing.

    Example:
        >>> mean_answer([1.0, 3.0], [2.0, 4.0]).metrics["mae"]
        1.0
    """
    errors = np.asarray(test, dtype=float) - float(np.mean(np.asarray(train, dtype=float)))
    rmse = float(np.sqrt(np.square(errors).mean()))
    zeros = dict.fromkeys(_CORRELATIONS, 0.0)
    return Baseline(
        "the mean of train", {"mae": float(np.abs(errors).mean()), "rmse": rmse} | zeros
    )


def beats(value: float | None, baseline: float, *, metric: str, better: str, n: int) -> bool:
    """Whether one measurement is better than a constant answer's.

    A correlation must differ from zero at 5 %, by Fisher's z with the standard error
    1 / sqrt(n - 3) (Fisher 1915, Biometrika 10:507): a few rows correlate by chance.

    Args:
        value: The measurement; None where it is undefined, as a constant answer's correlation is.
        baseline: The constant answer's.
        metric: The metric's name.
        better: `higher` or `lower`: which way it improves.
        n: How many rows were measured.
    """
    if value is None:
        return False
    if metric in _CORRELATIONS:
        inside = min(max(value, -1 + 1e-12), 1 - 1e-12)
        return n > 3 and math.atanh(inside) > ndtri(0.975) / math.sqrt(n - 3)
    return value > baseline if better == "higher" else value < baseline


def check_baseline(
    cells: Sequence[Cell], baseline: Baseline, *, metric: str, better: str
) -> BaselineCheck | None:
    """Compare every cell's seeds on test with a constant answer.

    Args:
        cells: Records with `cell` and `seeds`.
        baseline: The constant answer's metrics.
        metric: The headline metric.
        better: `higher` or `lower`.

    Returns:
        Which cells beat it, those without any finished seed left out; None where the baseline
        does not have the metric.
    """
    if metric not in baseline.metrics:
        return None
    value = baseline.metrics[metric]
    rows = {cell["cell"]: [r for r in cell["seeds"] if r["split"] == "test"] for cell in cells}
    beaten = {
        name: any(_row_beats(row, value, metric, better) for row in tested)
        for name, tested in rows.items()
        if tested
    }
    return BaselineCheck(metric, baseline.answer, value, beaten)


def _row_beats(row: Mapping[str, Any], value: float, metric: str, better: str) -> bool:
    return beats(row["headline"], value, metric=metric, better=better, n=row["n"])
