"""The figure of scores: one line a kind over the blocks, error bars, for any score table."""

import json
from typing import Any

import numpy as np
import pytest
from dvc_render import VegaRenderer

from adarank.modules import Module
from adarank.scoring.table import score_table, summary
from stages.score_table import _plottable
from tests.pipeline.closure import ROOT

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
