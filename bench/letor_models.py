"""The ranking methods that `bench.letor` compares, each with a grid of four settings."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from adarank.ordering.estimator import SortNet
from adarank.ordering.metrics import average_precision, by_list, ranked_by
from adarank.ordering.training import Iteration
from bench.letor_data import Part

Floats = NDArray[np.float64]
Settings = Mapping[str, Any]

ITERATIONS = 15
SORTNET_GRID = tuple(
    {"hidden": hidden, "learning_rate": rate} for hidden in (10, 30) for rate in (0.001, 0.003)
)


@dataclass(frozen=True)
class Fit:
    """A fitted method.

    Attributes:
        scores: From a part's documents to their scores.
        settings: What it was fitted with.
        validation: Its mean average precision on the validation part.
        seconds: CPU time of fitting.
        history: SortNet's iterations.
    """

    scores: Callable[[Part], Floats]
    settings: Settings
    validation: float
    seconds: float
    history: list[Iteration] = field(default_factory=list[Iteration])


def mean_average_precision(scores: Floats, part: Part) -> float:
    """Rank a part's documents by scores; a query without relevant ones counts as zero."""
    ranked = [ranked_by(scores[rows], part.grades[rows]) for rows in part.places]
    return float(np.mean(by_list(average_precision, ranked)))


def fits(
    training: Part, validation: Part, seed: int, methods: Mapping[str, Any]
) -> Iterator[tuple[str, Fit]]:
    """Fit every method with every setting of its grid.

    The control gets, iteration by iteration, as many pairs as the active run of the same
    settings and seed had.
    """
    totals: dict[int, list[int]] = {}
    for name, (grid, fit) in methods.items():
        for place, settings in enumerate(grid):
            began = time.process_time()
            extra = {"totals": totals[place]} if name == CONTROL else {}
            model = fit(training, validation, seed, **settings, **extra)
            seconds = time.process_time() - began
            history = getattr(model, "history_", [])
            if name == ACTIVE:
                totals[place] = [one.pairs for one in history[1:]]
            scores = _scorer(model)
            value = mean_average_precision(scores(validation), validation)
            yield name, Fit(scores, settings, value, seconds, history)


def _scorer(model: Any) -> Callable[[Part], Floats]:
    if isinstance(model, SortNet):
        return lambda part: model.predict(part.items, part.queries)
    return lambda part: model(part.items)


def _sortnet(training: Part, validation: Part, seed: int, **settings: Any) -> SortNet:
    model = SortNet(
        metric="map",
        iterations=ITERATIONS,
        patience=ITERATIONS,
        epochs=5,
        random_state=seed,
        **settings,
    )
    held_out = (validation.items, validation.grades, validation.queries)
    return model.fit(training.items, training.grades, training.queries, validation=held_out)


def _control(training: Part, validation: Part, seed: int, **settings: Any) -> SortNet:
    return _sortnet(training, validation, seed, selection="random", **settings)


def _ranksvm(training: Part, validation: Part, seed: int, **settings: Any) -> Any:
    """Fit a linear SVM to differences of documents of one query (Joachims 2002, KDD)."""
    del validation
    scaler = StandardScaler().fit(training.items)
    items = np.asarray(scaler.transform(training.items))
    better, worse = [], []
    for rows in training.places:
        grades = training.grades[rows]
        first, second = np.nonzero(grades[:, None] > grades[None, :])
        better.append(rows[first])
        worse.append(rows[second])
    differences = items[np.concatenate(better)] - items[np.concatenate(worse)]
    signs = np.random.default_rng(seed).choice([-1, 1], size=len(differences))
    # The primal: far more pairs than features.
    options: Any = {"dual": False, "fit_intercept": False, **settings}
    machine = LinearSVC(**options)
    machine.fit(differences * signs[:, None], signs)
    return lambda values: machine.decision_function(scaler.transform(values))


def _lambdamart(training: Part, validation: Part, seed: int, **settings: Any) -> Any:
    """Fit LightGBM's LambdaMART (Burges 2010, MSR-TR-2010-82), stopped early on validation."""
    import lightgbm

    def by_query(part: Part) -> tuple[Floats, Floats, list[int]]:
        rows = np.concatenate(part.places)
        return part.items[rows], part.grades[rows], [len(one) for one in part.places]

    items, grades, sizes = by_query(training)
    held_items, held_grades, held_sizes = by_query(validation)
    ranker = lightgbm.LGBMRanker(
        n_estimators=300, random_state=seed, n_jobs=1, verbose=-1, subsample=0.8,
        subsample_freq=1, colsample_bytree=0.8, **settings,
    )  # fmt: skip
    ranker.fit(
        items,
        grades,
        group=sizes,
        eval_set=[(held_items, held_grades)],
        eval_group=[held_sizes],
        eval_metric="map",
        eval_at=[10],
        callbacks=[lightgbm.early_stopping(30, first_metric_only=True, verbose=False)],
    )
    return lambda values: np.asarray(ranker.predict(values))


ACTIVE, CONTROL = "SortNet", "SortNet, random pairs"
RANKSVM, LAMBDAMART = "RankSVM (linear)", "LambdaMART (LightGBM)"
METHODS: dict[str, Any] = {
    ACTIVE: (SORTNET_GRID, _sortnet),
    CONTROL: (SORTNET_GRID, _control),
    RANKSVM: (tuple({"C": c} for c in (1e-4, 1e-3, 1e-2, 1e-1)), _ranksvm),
    LAMBDAMART: (
        tuple(
            {"num_leaves": leaves, "learning_rate": rate}
            for leaves in (7, 15)
            for rate in (0.05, 0.1)
        ),
        _lambdamart,
    ),
}
