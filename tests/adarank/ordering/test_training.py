"""The training loop: it collects exactly the sort's errors, keeps the best, and stops."""

import numpy as np
import pytest
import torch

from adarank.ordering.comparator import Comparator
from adarank.ordering.metrics import list_metric
from adarank.ordering.training import RankedList, Schedule, evaluate, sort_errors, train

NDCG = list_metric("ndcg@10")


def linear_lists(n: int, seed: int, size: int = 12) -> list[RankedList]:
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n):
        items = rng.normal(size=(size, 3))
        score = items @ [1.0, -1.0, 0.5]
        lists.append(RankedList(items, np.digitize(score, [0.5, 1.5]).astype(float)))
    return lists


def run(schedule: Schedule, seed: int = 0):
    return train(
        Comparator(3, 6, seed), linear_lists(20, 1), linear_lists(10, 2), NDCG, schedule, seed=seed
    )


def test_errors_are_compared_pairs_of_unequal_relevance_in_the_wrong_order() -> None:
    net, (ranked, other) = Comparator(3, 4, seed=3), linear_lists(2, 5)
    wrong, comparisons = sort_errors(net, [ranked, other])
    assert wrong and 0 < comparisons <= 2 * (12 * 4 - 16 + 1)
    for place, better, worse in wrong:
        one = (ranked, other)[place]
        before = net.before(one.items)
        assert one.relevance[better] > one.relevance[worse]
        assert not before(better, worse)


def test_it_learns_an_order_it_has_not_seen() -> None:
    result = run(Schedule(iterations=10, epochs=30, batch_size=64))
    assert result.history[result.best].validation > 0.97 > result.history[0].validation
    assert evaluate(result.comparator, linear_lists(20, 9), NDCG) > 0.95


def test_what_is_kept_is_the_best_on_validation() -> None:
    result = run(Schedule(iterations=6, epochs=5, batch_size=64))
    values = [entry.validation for entry in result.history]
    assert result.best == int(np.argmax(values))
    assert evaluate(result.comparator, linear_lists(10, 2), NDCG) == pytest.approx(max(values))


def test_pairs_only_grow_and_the_first_comparator_has_seen_none() -> None:
    pairs = [entry.pairs for entry in run(Schedule(iterations=6, epochs=5)).history]
    assert pairs[0] == 0 and pairs == sorted(pairs) and pairs[-1] > 0


def test_the_control_gets_as_many_pairs_as_it_is_given() -> None:
    schedule = Schedule(iterations=3, epochs=2, selection="random", totals=(10, 30, 31))
    assert [entry.pairs for entry in run(schedule).history] == [0, 10, 30, 31]


def test_the_control_goes_on_with_its_pairs_past_the_last_total() -> None:
    schedule = Schedule(iterations=3, epochs=2, selection="random", totals=(10,))
    assert [entry.pairs for entry in run(schedule).history] == [0, 10, 10, 10]


def test_pairs_drawn_at_random_are_of_unequal_relevance() -> None:
    lists = linear_lists(2, 1)
    unequal = sum(int((one.relevance[:, None] > one.relevance).sum()) for one in lists)
    schedule = Schedule(iterations=1, epochs=1, selection="random", totals=(10**6,))
    result = train(Comparator(3, 4), lists, lists, NDCG, schedule)
    assert result.history[-1].pairs == unequal


def test_it_stops_where_there_is_no_better_for_some_time() -> None:
    # No validation list: every comparator is as good as the first.
    schedule = Schedule(iterations=30, epochs=1, patience=2)
    result = train(Comparator(3, 6), linear_lists(20, 1), [], NDCG, schedule)
    assert result.stopped == "no better for some time"
    assert (result.best, len(result.history)) == (0, 3)


def test_it_stops_where_nothing_is_wrong() -> None:
    lists = [RankedList(np.array([[1.0], [0.0]]), np.array([1.0, 0.0]))]
    result = train(
        Comparator(1, 4), lists, lists, NDCG, Schedule(iterations=50, patience=50, epochs=50)
    )
    assert result.stopped == "no pair to add"
    assert result.history[-1].wrong == 0


def test_the_same_seed_gives_the_same_weights() -> None:
    schedule = Schedule(iterations=3, epochs=3)
    one, other = run(schedule).comparator, run(schedule).comparator
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


def test_progress_is_reported_once_an_iteration() -> None:
    ticks: list[None] = []
    train(
        Comparator(3, 4),
        linear_lists(4, 1),
        linear_lists(4, 2),
        NDCG,
        Schedule(iterations=3, epochs=1),
        advance=lambda: ticks.append(None),
    )
    assert len(ticks) == 3
