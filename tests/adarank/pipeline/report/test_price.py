"""Quality against measured time and memory: what timings/ holds, and where it was measured."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from adarank.pipeline.artifacts.summary import Summary, ordered, read_summary
from adarank.pipeline.files.whole import write_json
from adarank.pipeline.report.price import price_chart, where_measured
from tests.reports import TASK, Fixture, write_study, write_timings

FIXTURE = Fixture(strategies=("uniform", "disagreement"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summary() -> Summary:
    write_study(FIXTURE)
    return ordered(read_summary().of(TASK), FIXTURE.strategies, FIXTURE.budgets)


def record(cell: str, **costs: Any) -> None:
    write_json(Path(f"timings/finetune-{TASK}-{cell}.json"), {"host": "a", **costs})


def test_time_is_a_runs_and_memory_the_cells() -> None:
    part = summary()
    shutil.rmtree("timings", ignore_errors=True)
    record("uniform-4", training_seconds=90.0, runs=3, peak_mib=500.0)
    record("disagreement-4", training_seconds=40.0, runs=2, peak_mib=700.0)
    chart = price_chart(part)
    assert chart is not None
    assert [view.label for view in chart.views] == ["training time", "peak memory"]
    drawn = [
        {trace["name"]: (trace["x"], trace["y"]) for trace in view.drawing()["data"]}
        for view in chart.views
    ]
    mean = 100 * (part.cells["disagreement-4"].metrics["accuracy"].mean or 0)
    assert drawn[0]["uniform"][0] == [30.0] and drawn[0]["disagreement"] == ([20.0], [mean])
    assert drawn[1]["uniform"][0] == [500.0] and drawn[1]["disagreement"][0] == [700.0]
    assert chart.views[0].drawing()["layout"]["xaxis"]["title"]["text"].endswith("a run")


def test_without_a_record_there_is_no_figure_and_with_some_the_others_are_named() -> None:
    part = summary()
    shutil.rmtree("timings", ignore_errors=True)
    assert price_chart(part) is None
    record("uniform-4", training_seconds=90.0, peak_mib=500.0)
    chart = price_chart(part)
    assert chart is not None and [view.label for view in chart.views] == ["peak memory"]
    assert "disagreement-4" in chart.about[-1], "a sum over an unknown number of runs is no time"


def test_where_and_under_what_load_it_was_measured_is_said() -> None:
    quiet = {"one": {"host": "a", "cores": 4, "load": 1.0}, "two": {"host": "a", "cores": 4}}
    said = where_measured(quiet)
    assert "Measured on a (4 cores)" in said and "load average at the end of a cell 1." in said
    assert "2.5 to 5.5" in where_measured({"a": {"load": 5.5}, "b": {"load": 2.5}})
    assert "not noted for 1 of 2 cells" in said
    busy = {"one": {"host": "a", "cores": 2, "load": 5.5}}
    assert "more to do than cores" in where_measured(busy)
    apart = {"one": {"host": "a"}, "two": {"host": "b"}}
    assert "different hosts cannot be compared" in where_measured(apart)


def test_timings_of_a_study_are_drawn_for_every_cell() -> None:
    part = summary()
    write_timings(FIXTURE)
    chart = price_chart(part)
    assert chart is not None and len(chart.views[0].table.rows) == len(part.cells)
