"""Training a comparator on the pairs that its own sort gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from adarank.ordering.comparator import Comparator
from adarank.ordering.metrics import Empty, ListMetric, by_list
from adarank.ordering.sorting import merge_sort

Floats = NDArray[np.float64]
Pair = tuple[int, int, int]
Selection = Literal["active", "random"]


@dataclass(frozen=True)
class RankedList:
    """The items that are ranked together, such as the documents of one query.

    Attributes:
        items: Features, shape (n_items, n_features).
        relevance: Shape (n_items,); a higher one comes first.
    """

    items: Floats
    relevance: Floats


@dataclass(frozen=True)
class Schedule:
    """How a comparator is trained.

    Attributes:
        iterations: At most how many times pairs are added and the comparator trained.
        epochs: Passes over all pairs so far, per iteration.
        batch_size: Pairs per step.
        learning_rate: Adam's, the same throughout.
        weight_decay: Added to the gradient, as in Adam's L2 penalty.
        patience: Iterations without a better validation metric before it ends.
        selection: `active`: the pairs that the sort of the training lists compared and got
            wrong. `random`: as many pairs drawn from all those of unequal relevance, the
            control for what active selection is worth.
        totals: For `random`: pairs in all after each iteration, such as the `pairs` of an
            active run's history. Without it, as many are added as its own sort got wrong.
    """

    iterations: int = 20
    epochs: int = 10
    batch_size: int = 512
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    patience: int = 8
    selection: Selection = "active"
    totals: Sequence[int] | None = None


@dataclass(frozen=True)
class Iteration:
    """What one iteration did.

    Attributes:
        pairs: Training pairs so far.
        wrong: Pairs that the sort of the training lists then got wrong.
        comparisons: Comparisons that this sort took.
        validation: The metric on the validation lists.
    """

    pairs: int
    wrong: int
    comparisons: int
    validation: float


@dataclass
class Trained:
    """A trained comparator.

    Attributes:
        comparator: The one with the best validation metric.
        best: Which entry of the history it is.
        history: The random comparator first, then an entry per iteration.
        stopped: Why it ended: no pair to add, no better for some time, or all iterations done.
    """

    comparator: Comparator
    best: int = 0
    history: list[Iteration] = field(default_factory=list[Iteration])
    stopped: str = "all iterations done"


def train(
    comparator: Comparator,
    training: Sequence[RankedList],
    validation: Sequence[RankedList],
    metric: ListMetric,
    schedule: Schedule,
    *,
    empty: Empty = "zero",
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Trained:
    """Train a comparator by sorting, collecting the sort's errors, and training on them.

    From random weights: sort every training list; add each pair that was compared and put in the
    wrong order to the training pairs; train on all pairs so far, by squared error to (1, 0);
    sort the validation lists, and keep the comparator that orders them best. (After Rigutini,
    Papini, Maggini and Scarselli 2011, IEEE TNN 22(9), arXiv 2311.01864. Here training goes on
    from the weights it has, and errors in validation lists are no training pairs.)

    Args:
        comparator: Trained in place; the result holds a copy.
        training: Lists to learn from.
        validation: Lists that decide which comparator is kept; their pairs are never learned.
        metric: Of a list in ranked order.
        schedule: Iterations, steps and the selection of pairs.
        empty: What validation lists count for which the metric is undefined.
        seed: Decides the order of pairs, and which are drawn at random.
        advance: Called after each iteration.
    """
    rng = np.random.default_rng(seed)
    pairs: set[Pair] = set()
    unused = _all_pairs(training, rng) if schedule.selection == "random" else []
    optimizer = torch.optim.Adam(
        comparator.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    result, best_value = Trained(deepcopy(comparator)), -np.inf
    for step in range(schedule.iterations + 1):
        errors, comparisons = sort_errors(comparator, training)
        value = evaluate(comparator, validation, metric, empty)
        result.history.append(Iteration(len(pairs), len(errors), comparisons, value))
        if value > best_value:
            best_value, result.best = value, step
            result.comparator = deepcopy(comparator)
        elif step - result.best >= schedule.patience:
            result.stopped = "no better for some time"
            break
        if step == schedule.iterations:
            break
        fresh = errors - pairs
        if schedule.selection == "random":
            fresh = _drawn(unused, len(pairs), len(fresh), step, schedule.totals)
        pairs |= fresh
        if not pairs or not (fresh or schedule.totals):
            result.stopped = "no pair to add"
            break
        _fit(comparator, optimizer, training, sorted(pairs), schedule, rng)
        advance()
    return result


def sort_errors(comparator: Comparator, lists: Sequence[RankedList]) -> tuple[set[Pair], int]:
    """Sort lists by a comparator.

    Returns:
        The compared pairs that it put in the wrong order, as (list, better item, worse item),
        and the number of comparisons made.
    """
    wrong: set[Pair] = set()
    comparisons = 0
    for place, ranked in enumerate(lists):
        compared = merge_sort(len(ranked.items), comparator.before(ranked.items)).compared
        relevance: list[float] = ranked.relevance.tolist()
        wrong |= {(place, j, i) for i, j in compared if relevance[i] < relevance[j]}
        comparisons += len(compared)
    return wrong, comparisons


def evaluate(
    comparator: Comparator, lists: Sequence[RankedList], metric: ListMetric, empty: Empty = "zero"
) -> float:
    """Sort lists by a comparator and average a metric over them; 0 without lists."""
    orders = [merge_sort(len(one.items), comparator.before(one.items)).order for one in lists]
    ranked = [one.relevance[order] for one, order in zip(lists, orders, strict=True)]
    values = by_list(metric, ranked, empty)
    return float(np.mean(values)) if values else 0.0


def _all_pairs(lists: Sequence[RankedList], rng: np.random.Generator) -> list[Pair]:
    """List every pair of unequal relevance within a list, shuffled."""
    pairs: list[Pair] = []
    for place, ranked in enumerate(lists):
        better, worse = np.nonzero(ranked.relevance[:, None] > ranked.relevance[None, :])
        pairs += [(place, i, j) for i, j in zip(better.tolist(), worse.tolist(), strict=True)]
    return [pairs[at] for at in rng.permutation(len(pairs))]


def _drawn(
    unused: list[Pair], n_pairs: int, n_wrong: int, step: int, totals: Sequence[int] | None
) -> set[Pair]:
    """Return the control's next pairs of the shuffled ones; past the last total, none."""
    wanted = n_wrong if totals is None else max([*totals[: step + 1], 0]) - n_pairs
    return {unused.pop() for _ in range(min(max(wanted, 0), len(unused)))}


def _fit(
    comparator: Comparator,
    optimizer: torch.optim.Adam,
    lists: Sequence[RankedList],
    pairs: Sequence[Pair],
    schedule: Schedule,
    rng: np.random.Generator,
) -> None:
    """Train the epochs of one iteration: ((N_> - 1)^2 + N_<^2) / 2 over (better, worse) pairs."""
    starts = np.cumsum([0, *(len(one.items) for one in lists)])
    items = torch.from_numpy(np.concatenate([one.items for one in lists]))
    rows = np.array([(starts[place] + i, starts[place] + j) for place, i, j in pairs])
    target = torch.tensor([1.0, 0.0], dtype=items.dtype)
    for _ in range(schedule.epochs):
        for batch in np.array_split(
            rng.permutation(len(rows)), -(-len(rows) // schedule.batch_size)
        ):
            better, worse = torch.from_numpy(rows[batch].T.copy())
            loss = (comparator(items[better], items[worse]) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
