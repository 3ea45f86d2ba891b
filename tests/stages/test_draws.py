"""A control with random ranks: every seed trains, and is measured with, a draw of its own."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adarank.allocation.plan import RankPlan
from stages import evaluate, finetune
from tests.cells import write_project
from tests.plans import uneven, with_draw

CELL = ["--task", "questions", "--strategy", "explicit", "--budget", "2"]
PLAN = Path("data/plans/explicit-2/questions.json")


def test_two_seeds_train_different_ranks(
    tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(pico_model)
    turned = with_draw(json.loads(PLAN.read_text()), pico_model, lambda m: 3 - uneven(m))
    PLAN.write_text(json.dumps(turned))
    result = CliRunner().invoke(finetune.app, CELL)
    assert result.exit_code == 0, result.output
    assert "2 draws of the ranks by seed" in result.output
    plan = RankPlan.from_json(turned)
    folder = Path("data/adapters/questions/explicit-2")
    trained = [json.loads((folder / f"seed-{s}/trained.json").read_text()) for s in (0, 1)]
    for seed, record in enumerate(trained):
        drawn = plan.for_seed(seed)
        assert record["ranks"] == {m.name: m.rank for m in drawn.adapted}
        assert record["parameters"] == drawn.parameters
    assert trained[0]["ranks"] != trained[1]["ranks"]
    # Evaluation reads the ranks back from the saved adapters, and refuses another seed's.
    result = CliRunner().invoke(evaluate.app, CELL)
    assert result.exit_code == 0, result.output
    cell = json.loads(Path("metrics/cells/questions/explicit-2.json").read_text())
    assert {row["seed"] for row in cell["seeds"]} == {0, 1}
    assert cell["trainable_parameters"] == max(record["parameters"] for record in trained)


def test_a_plan_that_is_uniform_by_its_bounds_says_so_in_the_cell(
    tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(pico_model)
    PLAN.write_text(json.dumps(json.loads(PLAN.read_text()) | {"schema": 2, "note": "uniform"}))
    for app in (finetune.app, evaluate.app):
        result = CliRunner().invoke(app, CELL)
        assert result.exit_code == 0, result.output
    cell = json.loads(Path("metrics/cells/questions/explicit-2.json").read_text())
    assert cell["note"] == "uniform"
