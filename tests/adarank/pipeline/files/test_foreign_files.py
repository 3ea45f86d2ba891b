"""Plans and score tables from elsewhere: whatever is wrong is told, and nothing is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from adarank.allocation.plan import RankPlan
from adarank.errors import InputError
from adarank.pipeline.artifacts.cell import Cell
from adarank.pipeline.files.tables import write_parquet
from stages.allocate import app
from tests.tables import BERT, score_table

ABOUT = {"model_sha256": "ab" * 32}
PARAMS = """\
allocate:
  rounding: spend_all
  min_rank: 1
  max_rank: null
  scale: {policy: ratio, value: 2.0}
  seed: 0
study: {tasks: [questions]}
strategies: {}
"""
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project whose scores are good, and the plan made of them."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    write_parquet(
        Path("data/scores/model/disagreement.parquet"), score_table(BERT, 2, trials=2), ABOUT
    )


def allocated() -> Any:
    """Run `allocate` on the scores."""
    return CliRunner().invoke(app, ["--strategy", "disagreement", "--budget", "4"])


@pytest.fixture
def plan() -> dict[str, Any]:
    """A good plan, as JSON."""
    assert allocated().exit_code == 0
    return json.loads(Path("data/plans/disagreement-4/questions.json").read_text())


PLANS: dict[str, Change] = {
    "rank as text": lambda plan: plan["modules"][0].update(rank="4"),
    "rank as float": lambda plan: plan["modules"][0].update(rank=4.0),
    "rank as bool": lambda plan: plan["modules"][0].update(rank=True),
    "negative rank": lambda plan: plan["modules"][0].update(rank=-4),
    "infinite alpha": lambda plan: plan["modules"][0].update(alpha=float("inf")),
    "alpha not a number": lambda plan: plan["modules"][0].update(alpha=float("nan")),
    "another alpha": lambda plan: plan["modules"][0].update(alpha=1.0),
    "negative parameters": lambda plan: plan["modules"][0].update(parameters=-8),
    "parameters no multiple": lambda plan: plan["modules"][0].update(parameters=7),
    "budget not a number": lambda plan: plan.update(budget=float("nan")),
    "budget as text": lambda plan: plan.update(budget="4"),
    "wrong sum": lambda plan: plan.update(parameters=plan["parameters"] + 1),
    "a module missing": lambda plan: plan["modules"].pop(),
    "a module twice": lambda plan: plan["modules"].append(plan["modules"][0]),
    "modules in another order": lambda plan: plan["modules"].reverse(),
    "no modules": lambda plan: plan.update(modules=None),
    "modules as a mapping": lambda plan: plan.update(modules={"a": 1}),
    "an unknown key": lambda plan: plan.update(code="import os"),
    "a key missing": lambda plan: plan.pop("scale"),
    "another schema": lambda plan: plan.update(schema=2),
    "another tuner": lambda plan: plan.update(tuner="evil"),
    "hash as number": lambda plan: plan.update(model_sha256=7),
}


@pytest.mark.parametrize("name", PLANS)
def test_malformed_plans(plan, name):
    PLANS[name](plan)
    with pytest.raises(InputError, match="plan"):
        RankPlan.from_json(plan)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"plan"', '{"schema": 1}', "\xff\xfe"]
)
@pytest.mark.usefixtures("plan")
def test_files_that_are_no_plan(text):
    Path("data/plans/disagreement-4/questions.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError):
        Cell("questions", "disagreement", "4").read_plan()


def _set(column: str, value: Any, row: int | None = 0) -> Callable[[pd.DataFrame], Any]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].tolist()
        table[column] = [value if row in (None, at) else old for at, old in enumerate(values)]
        return table

    return change


SCORES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "a column missing": lambda table: table.drop(columns="score"),
    "no columns": lambda table: table[[]],
    "no rows": lambda table: table[:0],
    "score as text": _set("score", "high", None),
    "score not a number": _set("score", np.nan),
    "infinite score": _set("score", np.inf),
    "negative score": _set("score", -1.0, None),
    "rank as float": _set("d_in", 1.5),
    "no dimension": _set("d_in", 0, None),
    "wrong cost": _set("parameters_per_rank", 1),
    "module without a name": _set("module", ""),
    "module as number": _set("module", 7, None),
    "a module in two blocks": _set("block", 9),
    "a trial twice": lambda table: pd.concat([table, table[:1]]),
    "trial as text": _set("trial", "1", None),
    "nested scores": _set("score", [1.0], None),
}


@pytest.mark.parametrize("name", SCORES)
def test_malformed_score_tables(name):
    table = SCORES[name](score_table(BERT, 2, trials=2))
    write_parquet(Path("data/scores/model/disagreement.parquet"), table, ABOUT)
    result = allocated()
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.output and "scores" in result.output
    assert not Path("data/plans").exists()


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(50) + b"PAR1", b"module,score\n"])
def test_files_that_are_no_score_table(data):
    Path("data/scores/model/disagreement.parquet").write_bytes(data)
    result = allocated()
    assert result.exit_code == 2 and "damaged or of another format" in result.output


@pytest.mark.parametrize("about", [{}, {"model_sha256": 7}, {"model_sha256": ""}])
def test_score_tables_of_no_known_model(about):
    write_parquet(Path("data/scores/model/disagreement.parquet"), score_table(BERT, 2), about)
    result = allocated()
    assert result.exit_code == 2 and "which model" in result.output
