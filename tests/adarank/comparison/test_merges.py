"""Merges compared: each seed's mean over tasks is the unit, and shares are of the members' own."""

import numpy as np
import pytest
from scipy import stats

from adarank.comparison.across_tasks.table import TaskMetric
from adarank.comparison.merges import MergeResult, compare_merges, mean_metric, merge_result
from adarank.comparison.verdict import sentence, verdict

ACCURACY = TaskMetric("accuracy", "higher")
METRICS = {"a": ACCURACY, "b": ACCURACY}
OWN = {"a": {0: 0.9, 1: 0.8, 2: 0.85}, "b": {0: 0.5, 1: 0.6, 2: 0.7}}


def result(name: str, a: list[float], b: list[float], **errors: str) -> MergeResult:
    merged = {"a": dict(enumerate(a)), "b": dict(enumerate(b))}
    return merge_result(
        name, merged, OWN, METRICS, {int(k[1:]): text for k, text in errors.items()}
    )


def test_means_shares_and_gaps_are_those_of_each_seed() -> None:
    found = result("ties", [0.6, 0.7, 0.8], [0.4, 0.6, 0.5])
    assert found.by_seed == pytest.approx({0: 0.5, 1: 0.65, 2: 0.65})
    assert found.mean is not None and found.mean.mean == pytest.approx(0.6)
    shares = [(0.6 / 0.9 + 0.4 / 0.5) / 2, (0.7 / 0.8 + 1) / 2, (0.8 / 0.85 + 0.5 / 0.7) / 2]
    assert found.normalised is not None
    assert found.normalised.mean == pytest.approx(np.mean(shares))
    assert found.gap is not None
    assert found.gap.mean == pytest.approx(np.mean([0.5 - 0.7, 0.65 - 0.7, 0.65 - 0.775]))
    assert found.tasks["a"].value == pytest.approx(0.7)
    assert found.tasks["b"].normalised == pytest.approx((0.8 + 1 + 0.5 / 0.7) / 3)


def test_the_difference_is_paired_by_seed_and_tested_on_the_seeds_means() -> None:
    reference = result("task_arithmetic", [0.5, 0.6, 0.7], [0.4, 0.5, 0.6])
    better = result("tsv_m", [0.6, 0.72, 0.8], [0.5, 0.6, 0.72])
    other = result("ties", [0.5, 0.7, 0.6], [0.5, 0.4, 0.7])
    found = compare_merges([reference, better, other], METRICS, [0, 1, 2])
    assert [one.pair.names for one in found] == [
        ("tsv_m", "task_arithmetic"),
        ("ties", "task_arithmetic"),
    ]
    # Not six differences, one a seed and task: a seed's tasks share one merged model.
    each = [0.1, 0.11, 0.11]
    expected = stats.ttest_1samp(each, 0)
    assert found[0].n == 3 and found[0].difference == pytest.approx(np.mean(each))
    assert found[0].t_p == pytest.approx(expected.pvalue)
    assert found[0].t_p_holm == pytest.approx(min(1, 2 * expected.pvalue))
    assert verdict(found[0]) == "better" and found[0].family_size == 2
    assert "+10.67 points" in sentence(found[0]) and "equal cost" not in sentence(found[0])


def test_a_failed_seed_makes_a_merge_not_comparable() -> None:
    reference = result("task_arithmetic", [0.5, 0.6, 0.7], [0.4, 0.5, 0.6])
    failed = merge_result(
        "adarank", {"a": {0: 0.5}, "b": {0: 0.5}}, OWN, METRICS, {1: "gone", 2: "gone"}
    )
    (one,) = compare_merges([reference, failed], METRICS, [0, 1, 2])
    assert verdict(one) == "not comparable" and "seed 1 failed (gone)" in sentence(one)


def test_nothing_is_compared_without_the_reference() -> None:
    assert compare_merges([result("ties", [0.5], [0.5])], METRICS, [0]) == []


def test_tasks_of_no_common_unit_have_shares_but_no_mean() -> None:
    metrics = {"a": ACCURACY, "b": TaskMetric("loss", "lower")}
    found = merge_result("ties", {"a": {0: 0.6}, "b": {0: 2.0}}, OWN, metrics, {})
    assert mean_metric(metrics) is None and found.mean is None and found.gap is None
    assert found.normalised is not None
    assert found.normalised.mean == pytest.approx((0.6 / 0.9 + 0.5 / 2) / 2)
    assert compare_merges([found, found], metrics, [0]) == []


def test_a_score_that_is_not_positive_has_no_share() -> None:
    metrics = {"a": TaskMetric("pearson", "higher")}
    found = merge_result("ties", {"a": {0: -0.2}}, {"a": {0: 0.5}}, metrics, {})
    assert found.tasks["a"].normalised is None and found.normalised is None
    assert found.mean is not None and found.mean.mean == -0.2
