"""The study's merges for metrics/summary.json: measured on every task, compared by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from adarank.comparison.across_tasks.table import TaskMetric
from adarank.comparison.cells import Comparison
from adarank.comparison.merges import (
    MergeResult,
    compare_merges,
    mean_metric,
    merge_result,
)
from adarank.comparison.records import values_by_seed
from adarank.comparison.verdict import sentence, verdict
from adarank.comparison.wording import listed
from adarank.errors import input_error
from adarank.pipeline.artifacts.measured import read_cell
from adarank.pipeline.artifacts.merged import read_merged
from adarank.pipeline.params.study import StudySection, cell_name, plan_name

REFERENCE = "task_arithmetic"
"""The method that all others are compared with."""


def summarize_merges(study: StudySection) -> dict[str, Any] | None:
    """Sum up the study's merges from what they and their members measured; None without any.

    Raises:
        InputError: A merge or member that is not measured, or merges of different members.
    """
    if not study.merge:
        return None
    records = [read_merged(name) for name in study.merge]
    first = records[0]
    _refuse_mixed(records)
    seeds = sorted({seed for record in records for seed in _seeds(record)})
    named: Mapping[str, Any] = first["tasks"]
    metrics = {
        task: TaskMetric(named[task]["metric"], named[task]["better"])
        for task in study.tasks
        if task in named
    }
    budget = first["budget"]
    cells = {task: read_cell(cell_name(task, first["strategy"], budget)) for task in metrics}
    own = {task: values_by_seed(cells[task], "test", one.metric) for task, one in metrics.items()}
    own = {task: {s: v for s, v in values.items() if s in seeds} for task, values in own.items()}
    results = [_result(record, own, metrics) for record in records]
    found = compare_merges(results, metrics, seeds, reference=REFERENCE)
    alone = merge_result("own", own, own, metrics, {})
    return {
        "reference": REFERENCE,
        "members": plan_name(first["strategy"], budget),
        "metric": mean_metric(metrics),
        "seeds": seeds,
        "own": [
            {"task": task, "metric": one.metric, "value": alone.tasks[task].value}
            for task, one in metrics.items()
        ],
        "own_mean": alone.mean and asdict(alone.mean),
        "merges": [_merge(r, one) for r, one in zip(records, results, strict=True)],
        "comparisons": [_comparison(one) for one in found],
        "kept": [{"merge": r["merge"], **row} for r in records for row in r["kept"]],
        "caveats": _caveats(records, seeds, found, mean_metric(metrics)),
    }


def _refuse_mixed(records: Sequence[Mapping[str, Any]]) -> None:
    members = {(r["strategy"], r["budget"], tuple(r["tasks"])) for r in records}
    if len(members) > 1:
        raise input_error(
            "the merges are of different members",
            where="metrics/cells/merged",
            got="; ".join(f"{s}-{b:g} of {', '.join(tasks)}" for s, b, tasks in sorted(members)),
            expected="one cell of the same tasks",
            remedy="run `dvc repro`, which makes the stale ones again",
        )


def _seeds(record: Mapping[str, Any]) -> set[int]:
    return {row["seed"] for row in [*record["seeds"], *record["failed"]]}


def _result(
    record: Mapping[str, Any],
    own: Mapping[str, Mapping[int, float]],
    metrics: Mapping[str, TaskMetric],
) -> MergeResult:
    merged: dict[str, dict[int, float]] = {task: {} for task in metrics}
    for row in record["seeds"]:
        if row["headline"] is not None:
            merged[row["task"]][row["seed"]] = row["headline"]
    errors = {one["seed"]: one["error"] for one in record["failed"]}
    return merge_result(record["merge"], merged, own, metrics, errors)


def _merge(record: Mapping[str, Any], result: MergeResult) -> dict[str, Any]:
    return {
        "merge": record["merge"],
        "method": record["method"],
        "transductive": record["transductive"],
        "settings": _settings(record),
        "parameters": record["parameters"],
        "tasks": _tasks(result),
        "mean": result.mean and asdict(result.mean),
        "normalised": result.normalised and asdict(result.normalised),
        "gap": result.gap and asdict(result.gap),
        "failed": [f"seed {seed}: {error}" for seed, error in result.errors.items()],
    }


def _tasks(result: MergeResult) -> list[dict[str, Any]]:
    return [{"task": task, **asdict(one)} for task, one in result.tasks.items()]


def _settings(record: Mapping[str, Any]) -> str:
    """A merge's parameters; of those that differ by seed, all."""
    values: dict[str, list[str]] = {}
    for one in record["chosen"]:
        for name, value in one["values"].items():
            text = value if isinstance(value, str) else f"{value:g}"
            values.setdefault(name, []).append(text)
    return ", ".join(f"{name} {'/'.join(dict.fromkeys(v))}" for name, v in sorted(values.items()))


def _comparison(one: Comparison) -> dict[str, Any]:
    merge, against = one.pair.names
    numbers = {name: getattr(one, name) for name in ("n", "difference", "low", "high", "t_p")}
    return {
        "merge": merge,
        "against": against,
        **numbers,
        "t_p_holm": one.t_p_holm,
        "verdict": verdict(one),
        "sentence": sentence(one),
    }


def _caveats(
    records: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    found: Sequence[Comparison],
    metric: str | None,
) -> list[str]:
    said: list[str] = []
    on_test = [record["merge"] for record in records if record["transductive"]]
    if on_test:
        said.append(
            f"Transductive: {listed(on_test)} learned on the rows of test, without their labels, "
            "so the results there are no test of new rows."
        )
    if metric is None:
        said.append("The tasks share no unit: there is no mean, and no merge is compared.")
    elif not found:
        said.append(f"No merge is compared: {REFERENCE} is not among them, or stands alone.")
    elif len(seeds) < 5:
        said.append(f"{len(seeds)} seeds: only large differences between merges would be found.")
    alike = [record["merge"] for record in records if _all_alike(record)]
    if alike:
        said.append(
            f"Every lambda that was tried for {listed(alike)} measures the same on validation, so "
            "none was chosen by it."
        )
    edges = [r["merge"] for r in records if _at_an_edge(r) and r["merge"] not in alike]
    if edges:
        said.append(
            f"The lambda chosen for {listed(edges)} is at an end of the grid (merge.scaling): a "
            "wider one may give more."
        )
    return said


def _at_an_edge(record: Mapping[str, Any]) -> bool:
    for one in record["chosen"]:
        tried = [trial["value"] for trial in one["tried"] or []]
        if tried and one["values"].get("scaling") in (min(tried), max(tried)):
            return True
    return False


def _all_alike(record: Mapping[str, Any]) -> bool:
    """Whether lambda decided nothing; cart's, where no member has components to cut."""
    means = [[trial["mean"] for trial in one["tried"] or []] for one in record["chosen"]]
    return bool(means) and all(len(of) > 1 and len(set(of)) == 1 for of in means)
