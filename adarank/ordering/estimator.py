"""SortNet in scikit-learn's manner: fit, predict, compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from adarank.ordering.comparator import Comparator
from adarank.ordering.lists import (
    check_measurable,
    informative,
    ranked_lists,
    refuse,
    rows_by_group,
)
from adarank.ordering.metrics import Discount, Empty, list_metric
from adarank.ordering.ranges import check_parameters
from adarank.ordering.sorting import merge_sort, wins
from adarank.ordering.training import RankedList, Schedule, Selection, train

Floats = NDArray[np.float64]


class SortNet(BaseEstimator):
    """Learn an order: a neural comparator, trained on the pairs its own sort gets wrong.

    Rigutini, Papini, Maggini and Scarselli 2011, IEEE TNN 22(9), arXiv 2311.01864. The
    comparator is symmetric by weight sharing (`adarank.ordering.comparator`), its training set
    grows by the errors of the sort (`adarank.ordering.training`).

    Args:
        hidden: Pairs of dual hidden units.
        iterations: At most how many times pairs are added.
        epochs: Passes over all pairs per iteration.
        batch_size: Pairs per step.
        learning_rate: Adam's.
        weight_decay: L2 penalty in the gradient.
        patience: Iterations without a better validation metric before training ends.
        selection: `active`, or `random` as the control of equal pairs.
        totals: For `random`: pairs in all after each iteration; see Schedule.
        metric: Decides which comparator is kept: `map`, `ndcg`, `ndcg@N`, `p@N`, or
            `concordance` for relevance on any real scale.
        discount: NDCG's, `letor` or `standard`.
        empty: What a validation group without relevant items counts: `zero`, `one` or `skip`.
        validation_fraction: Share of the groups held out for validation where `fit` is given no
            validation data. With fewer than two groups to learn from, training groups validate.
        ranking: `sort`: by merge sort, n log2(n) comparisons. `wins`: by wins against all
            others, n (n - 1) / 2 comparisons, for comparators that contradict themselves.
        random_state: Decides initial weights, held-out groups and the order of pairs.

    Attributes:
        comparator_: The Comparator kept.
        history_: An Iteration of training per entry, the random comparator first.
        best_iteration_: Which of them was kept.
        stopped_: Why training ended.
        n_features_in_: Features per item.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(60, 3))
        >>> queries = np.repeat(np.arange(6), 10)
        >>> grades = (X[:, 0] + X[:, 1] > 0.5).astype(int)
        >>> model = SortNet(hidden=4, iterations=5, random_state=0).fit(X, grades, queries)
        >>> model.predict(X[:10], queries[:10]).shape
        (10,)
        >>> model.compare(X[:5], X[5:10]).shape
        (5, 2)
    """

    n_features_in_: int

    def __init__(
        self,
        hidden: int = 20,
        iterations: int = 20,
        epochs: int = 10,
        batch_size: int = 512,
        learning_rate: float = 0.01,
        weight_decay: float = 0.0,
        patience: int = 8,
        selection: Selection = "active",
        totals: Sequence[int] | None = None,
        metric: str = "ndcg@10",
        discount: Discount = "letor",
        empty: Empty = "zero",
        validation_fraction: float = 0.2,
        ranking: str = "sort",
        random_state: Any = 0,
    ) -> None:
        self.hidden = hidden
        self.iterations = iterations
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.selection: Selection = selection
        self.totals = totals
        self.metric = metric
        self.discount: Discount = discount
        self.empty: Empty = empty
        self.validation_fraction = validation_fraction
        self.ranking = ranking
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        groups: ArrayLike | None = None,
        validation: tuple[ArrayLike, ArrayLike, ArrayLike | None] | None = None,
    ) -> SortNet:
        """Train on lists of items of known relevance.

        Args:
            X: Features, shape (n_items, n_features), finite.
            y: Relevance, shape (n_items,); a higher one comes first.
            groups: A label per item, shape (n_items,): which list it belongs to. None: one list.
            validation: X, y and groups that decide which comparator is kept.

        Raises:
            OrderingError: Values that are not finite, groups that do not fit the rows, no pair
                of unequal relevance, nothing relevant to validate on, or a parameter out of its
                range.
        """
        check_parameters(self.get_params(deep=False))
        items, relevance = self._checked(X, y, reset=True)
        self.mean_ = items.mean(axis=0)
        spread = items.std(axis=0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        lists = informative(self._lists(items, relevance, groups))
        rng = check_random_state(self.random_state)
        if validation is None:
            training, held_out = _split(lists, self.validation_fraction, rng)
        else:
            checked = self._checked(validation[0], validation[1], reset=False)
            training, held_out = lists, self._lists(*checked, validation[2])
        metric = list_metric(self.metric, self.discount)
        check_measurable(held_out, metric, self.metric)
        seed = int(rng.randint(2**31 - 1))
        trained = train(
            Comparator(self.n_features_in_, self.hidden, seed),
            training,
            held_out,
            metric,
            self._schedule(),
            empty=self.empty,
            seed=seed,
        )
        self.comparator_, self.history_ = trained.comparator, trained.history
        self.best_iteration_, self.stopped_ = trained.best, trained.stopped
        return self

    def predict(self, X: ArrayLike, groups: ArrayLike | None = None) -> Floats:  # noqa: N803
        """Score items within their group: how many of its items each comes before.

        Args:
            X: Shape (n_items, n_features).
            groups: A label per item; None: one list.

        Returns:
            Shape (n_items,); higher comes first. Comparable within a group only.

        Raises:
            OrderingError: X or groups cannot be used.
        """
        check_is_fitted(self)
        items = self._scaled(self._checked_items(X))
        scores = np.empty(len(items))
        for rows in rows_by_group(groups, len(items)):
            if self.ranking == "wins":
                scores[rows] = wins(self.comparator_.margins(items[rows]))
            else:
                order = merge_sort(len(rows), self.comparator_.before(items[rows])).order
                scores[rows[order]] = np.arange(len(rows) - 1, -1, -1)
        return scores

    def compare(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Compare items of equal position.

        Args:
            x: Shape (n, n_features).
            y: The same shape.

        Returns:
            N_> and N_<, shape (n, 2), each in (0, 1): x comes first where the former is higher.

        Raises:
            OrderingError: Unequal shapes, another number of features, values not finite.
        """
        check_is_fitted(self)
        pair = [self._scaled(self._checked_items(side)) for side in (x, y)]
        if pair[0].shape != pair[1].shape:
            raise refuse(
                "x and y differ in shape",
                where="compare",
                got=f"{pair[0].shape} and {pair[1].shape}",
                expected="the same number of items",
            )
        with torch.no_grad():
            return self.comparator_(*map(torch.from_numpy, pair)).numpy()

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Floats, Floats]:  # noqa: N803
        try:
            checked: Any = validate_data(self, X, y, reset=reset, dtype=np.float64, y_numeric=True)
        except ValueError as error:
            raise refuse(str(error), where="X, y") from None
        relevance = np.asarray(checked[1], dtype=np.float64)
        if self.metric != "concordance" and (relevance < 0).any():
            raise refuse(
                "relevance is negative",
                where="y",
                got=float(relevance.min()),
                expected=f"grades of at least 0, of which {self.metric} makes sense",
                remedy="metric='concordance' takes relevance on any real scale",
            )
        return checked[0], relevance

    def _checked_items(self, X: Any) -> Floats:  # noqa: N803
        try:
            checked: Any = validate_data(self, X, reset=False, dtype=np.float64)
        except ValueError as error:
            raise refuse(str(error), where="X") from None
        return checked

    def _scaled(self, items: Floats) -> Floats:
        return (items - self.mean_) / self.scale_

    def _lists(self, items: Floats, relevance: Floats, groups: Any) -> list[RankedList]:
        return ranked_lists(self._scaled(items), relevance, rows_by_group(groups, len(items)))

    def _schedule(self) -> Schedule:
        return Schedule(
            iterations=self.iterations,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
            selection=self.selection,
            totals=self.totals,
        )


def _split(
    lists: list[RankedList], fraction: float, rng: np.random.RandomState
) -> tuple[list[RankedList], list[RankedList]]:
    """Split off a share of the lists for validation; a single list validates itself."""
    if len(lists) < 2:
        return lists, lists
    n_held_out = min(max(round(fraction * len(lists)), 1), len(lists) - 1)
    shuffled = [lists[place] for place in rng.permutation(len(lists))]
    return shuffled[n_held_out:], shuffled[:n_held_out]
