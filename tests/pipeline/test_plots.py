"""DVC's charts: of what the rows hold, under titles of their own, every axis named."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.repo import Repo
from dvc_render import VegaRenderer

from adarank.models.modules import Module
from adarank.pipeline.artifacts.scores import _plottable
from adarank.scoring.table import score_table, summary
from tests.pipeline.closure import ROOT
from tests.pipeline.conftest import Run
from tests.pipeline.project import Project

MODULES = [Module(f"{kind}{b}", b, kind, 4, 4) for b in range(3) for kind in ("query", "up")]


def _rows(trials: int) -> list[dict[str, Any]]:
    scores = np.random.default_rng(0).random((len(MODULES), trials))
    return [_plottable(row) for row in summary(score_table(MODULES, scores)).to_dict("records")]


def _drawn(rows: list[dict[str, Any]]) -> dict[str, Any]:
    template = str(ROOT / ".dvc/plots/score.json")
    points = [{**row, "rev": "workspace"} for row in rows]
    renderer = VegaRenderer(points, "scores", template=template, x="block", y="mean", title="t")
    filled = renderer.get_filled_template()
    return json.loads(filled) if isinstance(filled, str) else filled


def _fields(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["field"]} if isinstance(value.get("field"), str) else set()
        return own.union(*(_fields(part) for key, part in value.items() if key != "data"))
    return set().union(*(_fields(part) for part in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("trials", [1, 5])
def test_the_template_draws_what_the_rows_hold(trials: int) -> None:
    drawn = _drawn(_rows(trials))
    assert "<DVC_METRIC" not in json.dumps(drawn).replace("<DVC_METRIC_PLOT", "")
    assert _fields(drawn) <= set(drawn["data"]["values"][0])
    assert {"block", "kind", "mean", "low", "high", "rev"} <= _fields(drawn)


def test_there_is_a_line_a_kind_and_a_bar_from_low_to_high() -> None:
    drawn = _drawn(_rows(5))
    marks = {layer["mark"]["type"]: layer["encoding"] for layer in drawn["layer"]}
    assert drawn["encoding"]["color"]["field"] == "kind"
    assert marks["line"]["y"]["field"] == "mean"
    assert (marks["rule"]["y"]["field"], marks["rule"]["y2"]["field"]) == ("low", "high")
    for row in drawn["data"]["values"]:
        assert row["low"] < row["mean"] < row["high"]
        assert row["high"] - row["mean"] == pytest.approx(1.96 * row["standard_error"])


@pytest.fixture
def committed(first: Run, tmp_path: Path) -> Project:
    """A copy of the first run's project, with everything that Git keeps committed."""
    shutil.copytree(first.project.path, tmp_path / "project")
    project = replace(first.project, path=tmp_path / "project")
    who = ["-c", "user.name=someone", "-c", "user.email=someone@localhost"]
    for command in (["add", "-A"], [*who, "commit", "-qm", "ran"]):
        subprocess.run(["git", *command], cwd=project.path, check=True)
    return project


@pytest.mark.pipeline
def test_every_plot_has_a_chart_with_a_title_and_named_axes_of_fields_that_exist(
    committed: Project,
) -> None:
    charts = _charts(committed, "show")
    with Repo(str(committed.path)) as repo:
        declared = {plot.def_path for plot in repo.index.plots}
    assert charts.keys() == declared
    titles = [chart["title"]["text"] for chart in charts.values()]
    assert sorted(titles) == sorted(set(titles))
    for name, chart in charts.items():
        assert chart["title"]["text"] != name
        known = {key for row in chart["data"]["values"] for key in row} | _made(chart)
        assert _fields(chart) <= known, name
        for axis in ("x", "y"):
            named = _axis_titles(chart, axis)
            assert named and not any("_" in title for title in named), (name, axis, named)


@pytest.mark.pipeline
def test_a_diff_draws_both_revisions_in_one_chart(committed: Project) -> None:
    file = "metrics/frontier.tsv"
    path = committed.path / file
    path.write_text(path.read_text().replace("uniform\t2.0", "uniform\t9.0"))
    (chart,) = _charts(committed, "diff", "HEAD", "--targets", file).values()
    assert {row["rev"] for row in chart["data"]["values"]} == {"HEAD", "workspace"}
    assert "rev" in _fields(chart)


def _charts(project: Project, *arguments: str) -> dict[str, Any]:
    """Have DVC make charts: Vega-Lite by plot. Whatever it cannot draw is an error."""
    output = project.dvc("plots", *arguments, "--json")
    made = json.loads(output[output.index("{") :])
    assert not made.get("errors"), made["errors"]
    charts: dict[str, Any] = {}
    for name, (drawn,) in made["data"].items():
        content = drawn["content"]
        charts[name] = json.loads(content) if isinstance(content, str) else content
    return charts


def _made(value: Any) -> set[str]:
    """List the fields that a chart's own transformations make."""
    if isinstance(value, dict):
        own = {value["as"]} if isinstance(value.get("as"), str) else set()
        return own.union(*(_made(part) for key, part in value.items() if key != "data"))
    return set().union(*(_made(part) for part in value)) if isinstance(value, list) else set()


def _axis_titles(value: Any, axis: str) -> set[str]:
    if isinstance(value, list):
        return set().union(*(_axis_titles(part, axis) for part in value))
    if not isinstance(value, dict):
        return set()
    encoded = value.get("encoding", {}).get(axis) or {}
    own = {encoded["title"]} if encoded.get("title") else set()
    inner = (value.get(key) for key in ("layer", "spec", "hconcat"))
    return own.union(*(_axis_titles(part, axis) for part in inner))
