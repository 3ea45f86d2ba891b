"""The summary's merges: from what merges and their members measured to a table and the page."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from adarank.errors import InputError
from adarank.pipeline.artifacts.measured import write_cell
from adarank.pipeline.artifacts.merged import write_merged
from adarank.pipeline.artifacts.merges import Merges
from adarank.pipeline.console.merges_table import MergesTable
from adarank.pipeline.params.study import StudySection
from adarank.pipeline.report.merges import bars_chart, masks_chart, merges_table
from adarank.pipeline.summarizing.merges import summarize_merges
from tests.cells_compared import cell

OWN = {"trees": [0.9, 0.8, 0.7], "rivers": [0.6, 0.6, 0.6]}
MERGED = {
    "task_arithmetic": {"trees": [0.5, 0.6, 0.7], "rivers": [0.4, 0.5, 0.6]},
    "adarank": {"trees": [0.6, 0.72, 0.8], "rivers": [0.5, 0.6, 0.72]},
}
KEPT = [
    {"weight": f"layer.{layer}.weight", "task": task, "mask": mask, "scaling": 0.4}
    for layer, masks in enumerate([("1101", "11"), ("1110", "01")])
    for task, mask in zip(OWN, masks, strict=True)
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for task, values in OWN.items():
        about = {"cell": f"{task}/uniform-4", "task": task, "headline": "accuracy"}
        rest = {"better": "higher", "head_parameters": 1, "learning_rate": 0.1, "tuned": []}
        write_cell(cell("uniform", values) | about | rest)
    for name in MERGED:
        write_merged(record(name))


def record(name: str, **changes: Any) -> dict[str, Any]:
    learned = name == "adarank"
    grid = [] if learned else [{"value": x, "mean": 0.5 - x / 9} for x in (0.3, 0.5, 1.0)]
    return {
        "merge": name,
        "method": name,
        "learned": learned,
        "transductive": False,
        "strategy": "uniform",
        "budget": 4,
        "parameters": 1000,
        "tasks": {task: {"metric": "accuracy", "better": "higher"} for task in OWN},
        "kept": KEPT if learned else [],
        "chosen": [
            {
                "seed": seed,
                "values": {"rate": 0.1} if learned else {"scaling": [0.3, 0.5, 0.5][seed]},
                "tried": grid,
            }
            for seed in range(3)
        ],
        "failed": [],
        "seeds": [
            {"seed": seed, "task": task, "n": 9, "headline": value, "accuracy": value}
            for task, values in MERGED[name].items()
            for seed, value in enumerate(values)
        ],
    } | changes


def study(*merges: str) -> StudySection:
    return StudySection(
        tasks=list(OWN),
        signals=["stable_rank"],
        task_signals=[],
        strategies=["uniform"],
        reference="uniform",
        budgets=[4],
        seeds=[0, 1, 2],
        merge=list(merges),
    )


def merges(*names: str) -> Merges:
    # As it is read from the file, in which keys are sorted.
    text = json.dumps(summarize_merges(study(*(names or MERGED))), sort_keys=True)
    return Merges.model_validate_json(text)


def shown(part: Merges) -> str:
    console = Console(width=100, record=True, file=None)
    with console.capture() as capture:
        console.print(MergesTable(part))
    return capture.get()


def test_a_study_of_no_merges_has_none() -> None:
    assert summarize_merges(study()) is None


def test_every_number_is_there_and_the_difference_is_that_of_the_seeds_means() -> None:
    found = merges()
    assert found.members == "uniform-4" and found.seeds == (0, 1, 2)
    assert [(one.task, one.value) for one in found.own] == [
        ("trees", pytest.approx(0.8)),
        ("rivers", pytest.approx(0.6)),
    ]
    arithmetic, adarank = found.merges
    assert arithmetic.settings == "scaling 0.3/0.5" and arithmetic.parameters == 1000
    assert adarank.mean is not None and adarank.mean.mean == pytest.approx(0.65667, abs=1e-5)
    assert adarank.gap is not None and adarank.gap.mean == pytest.approx(-0.04333, abs=1e-5)
    (one,) = found.comparisons
    assert (one.merge, one.verdict, one.n) == ("adarank", "better", 3)
    assert one.difference == pytest.approx(0.10667, abs=1e-5)


def test_a_lambda_at_the_end_of_its_grid_and_few_seeds_are_said() -> None:
    said = " ".join(merges().caveats)
    assert "chosen for task_arithmetic is at an end of the grid" in said
    assert "3 seeds" in said


def test_a_lambda_that_decides_nothing_is_said() -> None:
    alike = record("task_arithmetic")
    for one in alike["chosen"]:
        one["tried"] = [{"value": x, "mean": 0.5} for x in (0.3, 0.5, 1.0)]
    write_merged(alike)
    said = " ".join(merges().caveats)
    assert "Every lambda that was tried for task_arithmetic measures the same" in said
    assert "end of the grid" not in said


def test_transductive_is_said_in_every_table() -> None:
    write_merged(record("adarank", transductive=True))
    found = merges()
    assert "Transductive: adarank learned on the rows of test" in found.caveats[0]
    assert "adarank (transductive)" in shown(found)
    assert "adarank (transductive)" in [row[0] for row in merges_table(found).rows]
    assert any("adarank (transductive)" in str(v.table.rows) for v in bars_chart(found).views)


def test_the_terminals_table_has_members_merges_and_verdicts() -> None:
    text = shown(merges())
    assert "members alone" in text and "80.00" in text and "65.67" in text
    assert "adarank is better than task_arithmetic" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_failed_seed_is_shown() -> None:
    rows = [row for row in record("adarank")["seeds"] if row["seed"] != 1]
    write_merged(record("adarank", seeds=rows, failed=[{"seed": 1, "error": "gone"}]))
    found = merges()
    assert found.comparisons[0].verdict == "not comparable"
    assert "seed 1: gone" in shown(found)


def test_merges_of_different_members_are_refused() -> None:
    write_merged(record("adarank", budget=8))
    with pytest.raises(InputError, match="of different members"):
        merges()


def test_the_bars_are_the_means_and_the_line_is_the_member() -> None:
    view = bars_chart(merges()).views[0]
    drawn = view.drawing()
    assert view.label == "trees"
    assert drawn["data"][0]["x"] == pytest.approx([60.0, 100 * (0.6 + 0.72 + 0.8) / 3])
    assert drawn["layout"]["shapes"][0]["x0"] == pytest.approx(80.0)
    assert view.table.rows[0] == ("member alone", "80.00", "1")


def test_the_map_has_a_column_a_component_and_says_which_lead() -> None:
    chart = masks_chart(merges())
    assert chart is not None and [view.label for view in chart.views] == ["adarank"]
    grid = chart.views[0].drawing()["data"][0]["z"]
    assert grid == [[1, 1, 0, 1, None, 1, 1], [1, 1, 1, 0, None, 0, 1]]
    # trees keeps 6, of which 3 + 2 are among the largest; rivers 3, of which 2 + 0.
    assert "trees: 6 of 8 kept, 83% of them leading" in chart.views[0].alt
    assert "rivers: 3 of 4 kept, 67% of them leading" in chart.views[0].alt


def test_without_masks_there_is_no_map() -> None:
    assert masks_chart(merges("task_arithmetic")) is None
