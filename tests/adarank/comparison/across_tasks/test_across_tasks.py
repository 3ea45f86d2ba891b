"""Comparisons across tasks: closed forms, units, families, what is missing, and coverage."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from adarank.comparison.across_tasks.comparing import AcrossTasks, across_tasks
from adarank.comparison.across_tasks.gains import mean_gain, task_gain
from adarank.comparison.across_tasks.table import TaskMetric, averaged, task_table
from adarank.comparison.across_tasks.verdict import across_sentence, across_study, across_verdict
from adarank.comparison.pairs import Control
from bench.statistics import tasks_coverage

ACCURACY, LOSS = TaskMetric("accuracy", "higher"), TaskMetric("loss", "lower")
CONTROLS = {"permuted": Control("disagreement", "permuted", "randomly permuted ranks")}
UNIFORM = [0.80, 0.82, 0.84]
Values = Mapping[tuple[str, str], Sequence[float]]


def frame(values: Values, budget: float = 4.0) -> pd.DataFrame:
    rows = [
        {"task": task, "strategy": strategy, "budget": budget, "seed": seed, "value": value}
        for (task, strategy), each in values.items()
        for seed, value in enumerate(each)
    ]
    return pd.DataFrame(rows)


def found(
    values: Values, metrics: Mapping[str, TaskMetric], seeds: int = 3, **changed: Any
) -> list[AcrossTasks]:
    about: dict[str, Any] = {"reference": "uniform", "controls": CONTROLS, **changed}
    return across_tasks(frame(values), metrics, seeds=range(seeds), **about)


def above(by: Sequence[float]) -> list[float]:
    return [value + gain for value, gain in zip(UNIFORM, by, strict=True)]


def two(strategy: str, first: Sequence[float], second: Sequence[float]) -> dict[Any, list[float]]:
    both = {("a", "uniform"): UNIFORM, ("b", "uniform"): UNIFORM}
    return both | {("a", strategy): above(first), ("b", strategy): above(second)}


METRICS = {"a": ACCURACY, "b": ACCURACY}


def test_of_two_tasks_it_is_welchs_test() -> None:
    # The mean over two tasks is zero where one's gain is the other's loss: Welch's question.
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, 5), rng.normal(0, 3, 9)
    mean = mean_gain([task_gain("a", first.tolist()), task_gain("b", (-second).tolist())])
    welch: Any = stats.ttest_ind(first, second, equal_var=False)
    low, high = welch.confidence_interval()
    assert (mean.t_p, mean.df) == pytest.approx((welch.pvalue, welch.df))
    assert mean.low == pytest.approx(low / 2) and mean.high == pytest.approx(high / 2)


def test_of_one_task_it_is_the_paired_t_test() -> None:
    each = [0.3, -0.1, 0.4, 0.2]
    mean, known = mean_gain([task_gain("a", each)]), stats.ttest_1samp(each, 0.0)
    assert (mean.t_p, mean.df) == pytest.approx((known.pvalue, 3))


def test_every_task_weighs_the_same_whatever_its_seeds() -> None:
    mean = mean_gain([task_gain("a", [1.0] * 9), task_gain("b", [3.0, 3.0])])
    assert (mean.gain, mean.low, mean.high, mean.df) == (2.0, 2.0, 2.0, None)
    # Without any spread t is undefined: the sign flips' p, all eleven of one sign.
    assert mean.t_p == mean.p == 2 / 2**11


def test_points_and_direction() -> None:
    metrics = {"a": ACCURACY, "b": TaskMetric("matthews", "higher")}
    (one,) = found(two("fisher", [0.01, 0.02, 0.03], [0.03, 0.02, 0.04]), metrics)
    assert one.unit == "points" and one.family == "primary"
    assert [task.gain for task in one.tasks] == pytest.approx([2.0, 3.0])
    assert one.mean is not None and one.mean.gain == pytest.approx(2.5)
    losses = {"a": LOSS, "b": LOSS}
    (lower,) = found(two("fisher", [-0.1, -0.2, -0.3], [-0.1, -0.2, -0.2]), losses)
    assert lower.unit == "loss" and lower.mean is not None and lower.mean.gain > 0.1


def test_losses_are_not_averaged_with_points() -> None:
    values = two("fisher", [0.01, 0.02, 0.03], [0.01, 0.02, 0.02])
    values |= {("c", "uniform"): [4.0, 4.1, 4.2], ("c", "fisher"): [3.0, 3.1, 3.2]}
    metrics = METRICS | {"c": LOSS}
    (one,) = found(values, metrics)
    assert one.left_out == ("c (loss)",) and [task.task for task in one.tasks] == ["a", "b"]
    assert "Not averaged, having another unit: c (loss)." in across_sentence(one)
    assert found(values, {"a": ACCURACY, "c": LOSS}) == []
    assert averaged({"a": LOSS, "b": TaskMetric("mae", "lower")}).tasks == {}
    table = task_table(frame(values), metrics)
    assert table.loc[("fisher", 4.0)].tolist() == pytest.approx([84.0, 83.666667, 3.1, 83.833333])
    assert list(table.columns) == ["a", "b", "c", "average"]


def test_a_missing_seed_or_task_is_named_and_concludes_nothing() -> None:
    values = two("fisher", [0.02, 0.021, 0.02], [0.02, 0.021, 0.02])
    (one,) = found(values | {("b", "fisher"): [0.8, 0.9]}, METRICS)
    assert across_verdict(one) == "not comparable" and one.mean is not None
    assert "fisher-4 lacks seed 2 on b" in across_sentence(one)
    (lost,) = found({k: v for k, v in values.items() if k != ("b", "fisher")}, METRICS)
    assert lost.mean is None and across_verdict(lost) == "not comparable"
    assert "lacks seed 0, 1, 2 on b" in across_sentence(lost)
    assert "not comparable: fisher-4" in across_study([lost], "uniform")


def test_families_are_corrected_apart_and_a_control_is_not_tested() -> None:
    gain, none = [0.02, 0.021, 0.019], [0.001, -0.001, 0.0]
    values = two("disagreement", gain, gain) | two("fisher", none, none)
    values |= two("permuted", none, none[::-1])
    each = {(one.cell, one.against): one for one in found(values, METRICS)}
    sizes = {names: (one.family, one.family_size) for names, one in each.items()}
    assert sizes == {
        ("disagreement-4", "uniform-4"): ("primary", 2),
        ("fisher-4", "uniform-4"): ("primary", 2),
        ("permuted-4", "uniform-4"): (None, 0),
        ("disagreement-4", "permuted-4"): ("secondary", 1),
    }
    best = each["disagreement-4", "uniform-4"]
    assert best.mean is not None and best.mean.t_p is not None
    assert best.t_p_holm == pytest.approx(2 * best.mean.t_p)
    text = across_study(list(each.values()), "uniform")
    assert text == (
        "On average over 2 tasks (2 comparisons, Holm-corrected): better than uniform: "
        "disagreement-4 (+2.00 points). Against the controls (1 comparison, corrected "
        "separately): disagreement-4 beats permuted-4."
    )
    assert "shown beside uniform-4 and not tested" in across_sentence(
        each["permuted-4", "uniform-4"]
    )


def test_a_sentence_has_the_mean_its_interval_and_every_task() -> None:
    (one,) = found(two("fisher", [0.00, 0.01, 0.02], [0.01, -0.01, 0.0]), METRICS)
    assert across_verdict(one) == "not distinguishable"
    assert across_sentence(one).startswith(
        "fisher-4 is not distinguishable from uniform-4 on average over 2 tasks: gain +0.50 points "
        "(95 % interval -0.63 to +1.63; a +1.00, b +0.00; p 0.288 by t over seeds within tasks)."
    )
    assert "would be found with 80 % power" in across_sentence(one)
    assert "would be found with 80 % power" in across_study([one], "uniform")


def test_one_seed_gives_no_interval() -> None:
    values = {key: each[:1] for key, each in two("fisher", [0.1] * 3, [0.1] * 3).items()}
    (one,) = found(values, METRICS, seeds=1)
    assert one.mean is not None and (one.mean.low, one.mean.t_p) == (None, None)
    assert across_verdict(one) == "not distinguishable"
    assert "one seed gives no estimate of the variance" in across_sentence(one)


@pytest.mark.parametrize("spreads", [(1.0, 1.0, 1.0, 1.0), (0.2, 0.5, 1.0, 4.0)])
@pytest.mark.parametrize("seeds", [3, 5])
def test_coverage_and_level(spreads: tuple[float, ...], seeds: int) -> None:
    covered, shown = tasks_coverage(spreads, seeds, 400, seed=2)
    # One side of a test at 5 %; few seeds of unequal spread make Welch's df a rough estimate.
    assert 0.92 <= covered <= 0.985 and shown <= 0.05
    _, better = tasks_coverage(spreads, seeds, 200, gain=4.0, seed=2)
    assert better > 0.5
