"""The whole params file checked at once; every file that ships with the project is good."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from adarank.pipeline.params.whole import check_params as check
from stages.check import app

ROOT = Path(__file__).parents[3]
QUESTIONS = {"source": "builtin:questions", "type": "classification"}
SHIPPED = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(folder: Path, **values: Any) -> Path:
    """Write params.yaml with some keys set; `score__trials=0` sets score.trials."""
    params = YAML(typ="safe").load(SHIPPED[0])
    for keys, value in values.items():
        section, _, key = keys.partition("__")
        (params[section] if key else params)[key or section] = value
    path = folder / "params.yaml"
    YAML(typ="safe").dump(params, path)
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_is_good(path: Path) -> None:
    assert check(path) == []


def test_all_problems_of_all_stages_at_once(folder: Path) -> None:
    path = changed(
        folder,
        scores={},
        score__trials=0,
        study__strategies=["uniform", "disagrement"],
        study__signals=["disagreement", "fisher"],
        study__reference="unifrom",
        finetune__rate=0.1,
        evaluate__batch_size="many",
    )
    result = CliRunner().invoke(app, ["--params", str(path)])
    assert result.exit_code == 2
    for said in (
        "scores: no such section",
        "score.trials",
        "disagrement",
        "one of uniform, disagreement",
        "study.signals: no such signal here",
        "unifrom",
        "finetune.rate: unknown key",
        "evaluate.batch_size",
    ):
        assert said in result.output, said
    assert "Traceback" not in result.output


def test_a_problem_that_several_stages_see_is_told_once(folder: Path) -> None:
    found = [str(p) for p in check(changed(folder, study__seeds=[1, 1]))]
    assert len(found) == 1 and "study.seeds" in found[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"study__strategies": ["uniform", "reversed_fisher"]}, ("add fisher to study.task_sig",)),
        ({"study__strategies": ["uniform", "linearized"]}, ("add linearized to study.signals",)),
        ({"study__signals": []}, ("add disagreement to study.signals", "stable_rank")),
        ({"study__task_signals": ["disagreement"]}, ("any of: task_disagreement, weight_grad",)),
        ({"study__reference": "full"}, ("one of study.strategies: uniform, disagreement",)),
        ({"strategies": {"both": {"combined": {"fischer": 1}}}}, ("unknown strategy", "fischer")),
        ({"study__tasks": ["questions", "trek"]}, ("define tasks.trek", "one of: questions")),
        ({"dataset": {}}, ("a section of version 0.1", "tasks.NAME", "`type` for `task`")),
        ({"task": {}}, ("a section of version 0.1", "move them to tasks.NAME")),
        ({"tasks": {"a-b": QUESTIONS}, "study__tasks": ["a-b"]}, ("tasks.a-b", "pattern")),
        ({"tasks": {"a/b": QUESTIONS}, "study__tasks": ["a/b"]}, ("tasks.a/b", "pattern")),
        ({"tasks": {"model": QUESTIONS}}, ("model is the name of something else",)),
        (
            {"tasks": {"questions": QUESTIONS | {"finetune": {"stepz": 3, "batch_size": 0}}}},
            ("tasks.questions.finetune.stepz", "tasks.questions.finetune.batch_size"),
        ),
        (
            {
                "tasks": {"questions": QUESTIONS | {"finetune": {"learning_rate": [0.1, 0.2]}}},
                "study__seeds": [100],
            },
            ("task questions: finetune.tuning_seed", "100, which is among [100]"),
        ),
        (
            {"study__strategies": ["uniform", "squeezed"], "finetune__optimizer": "muon"},
            ("task questions: finetune.optimizer, strategy squeezed", "the tuner growing"),
        ),
        ({"strategies": {"uniform": {"explicit": "1"}}}, ("uniform has a meaning already",)),
    ],
)
def test_parts_of_a_study_that_do_not_fit(folder: Path, values: Any, words: Any) -> None:
    found = "\n".join(str(problem) for problem in check(changed(folder, **values)))
    for word in words:
        assert word in found


def test_a_table_that_no_study_needs_is_told(folder: Path) -> None:
    (folder / "data/scores/model").mkdir(parents=True)
    (folder / "data/scores/questions").mkdir()
    for name in ("model/disagreement", "questions/fisher"):
        (folder / f"data/scores/{name}.parquet").touch()
    result = CliRunner().invoke(app, ["--params", str(SHIPPED[0])])
    assert result.exit_code == 0
    assert "fisher.parquet is of no signal" in result.output
    assert "disagreement.parquet" not in result.output


def test_a_good_file_exits_zero() -> None:
    result = CliRunner().invoke(app, ["--params", str(SHIPPED[0])])
    assert result.exit_code == 0, result.output


def test_all_prints_every_value_that_the_study_uses(folder: Path) -> None:
    task = QUESTIONS | {"finetune": {"steps": 7}}
    path = changed(folder, tasks={"questions": task}, study__tasks=["questions"])
    result = CliRunner().invoke(app, ["--all", "--params", str(path)])
    assert result.exit_code == 0, result.output
    values = YAML(typ="safe").load(result.stdout)
    assert values["tasks"]["questions"]["finetune"] == {"steps": 7}
    assert values["tasks"]["questions"]["validation_fraction"] == 0.1
    assert values["finetune"]["steps"] == 150
    assert values["score"]["noise"] == {"scale": 1.0, "relative_to": "module", "bias": True}


@pytest.mark.parametrize(
    ("growing", "said"),
    [
        ({"window": 100}, "growing.window: longer than the run"),
        ({"warmup_steps": 150}, "growing.warmup_steps: longer than the run"),
        ({"schedule": [2, 1], "shares": [0.999, 0.001]}, None),
        ({"schedule": [2, 1], "shares": [0.001, 0.999]}, "a part of the run without a step"),
    ],
)
def test_ranks_that_would_change_after_the_run_are_found_before_it(
    folder: Path, growing: dict[str, Any], said: str | None
) -> None:
    strategies = ["uniform", "mine"]
    path = changed(folder, strategies={"mine": {"growing": growing}}, study__strategies=strategies)
    problems = [str(problem) for problem in check(path)]
    assert len(problems) == (said is not None)
    assert all(said in one and "strategy mine, task questions" in one for one in problems if said)
