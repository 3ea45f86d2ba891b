"""Scoring in shares: each leaves its modules' scores in the store, and the whole finds them."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adarank.pipeline.artifacts.timings import score_costs
from adarank.pipeline.files.tables import write_parquet
from adarank.pipeline.files.whole import write_json
from adarank.pipeline.scratch.shelf import FolderShelf
from adarank.scoring.estimators import exact
from stages.score import app
from stages.score_task import app as task_app
from tests.cells import LABELS, files
from tests.pico import WORDS, pico_rows
from tests.stages.test_score import PARAMS
from tests.stages.test_score_task import PARAMS as TASK_PARAMS

Comparisons: Any = vars(exact)["_Comparisons"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADARANK_SCRATCH", str(tmp_path / "scratch"))
    shutil.copytree(pico_model, "data/model")
    Path("probe.txt").write_text("\n".join(" ".join(WORDS[n : n + 4]) for n in range(8)))
    write()


def write(**changed: Any) -> None:
    Path("params.yaml").write_text(json.dumps(PARAMS | {"score": PARAMS["score"] | changed}))


def write_task() -> None:
    write_parquet(Path("data/tasks/questions/train.parquet"), pico_rows(24))
    write_json(Path("data/tasks/questions/task.json"), {"type": "classification", "labels": LABELS})
    Path("params.yaml").write_text(json.dumps(TASK_PARAMS))


def score(*options: str) -> Result:
    return CliRunner().invoke(app, list(options))


def whole(monkeypatch: pytest.MonkeyPatch, *, computes: bool) -> dict[str, bytes]:
    """Score all modules; what that made."""
    with monkeypatch.context() as patch:
        if not computes:
            patch.delattr(Comparisons, "_add")
        result = score()
    assert result.exit_code == 0, result.output
    return files("data/scores") | files("metrics/scores")


@pytest.mark.parametrize(
    ("changed", "shares"),
    [
        ({}, ["2/3", "1/3", "3/3", "1/3"]),
        ({"noise": {"scale": 1.0, "relative_to": "global", "bias": True}}, ["1/2", "2/2"]),
        ({"reference": "pristine"}, [f"{number}/5" for number in range(1, 6)]),
    ],
    ids=["one of them twice", "noise by all weights", "more shares than modules"],
)
def test_the_whole_computes_nothing_after_its_shares(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], shares: list[str]
) -> None:
    write(**changed)
    expected = whole(monkeypatch, computes=True)
    for folder in ("scratch", "data/scores", "metrics"):
        shutil.rmtree(folder)
    for share in shares:
        result = score("--share", share)
        assert result.exit_code == 0, result.output
        assert not Path("data/scores").exists()
    assert whole(monkeypatch, computes=False) == expected
    assert len(list(Path("scratch/scores").iterdir())) == 1  # the shares' entries are one now


def test_the_comparison_with_float32_is_the_whole_s_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    write(precision="bfloat16")
    expected = whole(monkeypatch, computes=True)
    shutil.rmtree("scratch")
    with monkeypatch.context() as patch:
        patch.delattr("adarank.pipeline.running.disturbing.to_bfloat16")
        for share in ("1/2", "2/2"):
            assert score("--share", share).exit_code == 0
    result = score()
    assert "were of use" not in result.output  # all that was found was
    assert files("data/scores") | files("metrics/scores") == expected


def test_a_share_that_is_missing_is_computed_by_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole(monkeypatch, computes=True)
    shutil.rmtree("scratch")
    assert score("--share", "2/2").exit_code == 0
    computed: list[str] = []
    plain: Any = vars(Comparisons)["_add"]

    def recorded(self: Any, module: Any, *rest: Any, **named: Any) -> Any:
        computed.append(module.name)
        return plain(self, module, *rest, **named)

    monkeypatch.setattr(Comparisons, "_add", recorded)
    assert whole(monkeypatch, computes=True) == expected
    assert len(computed) == len(set(computed)) == 2  # of four modules
    (name,) = score_costs()
    assert name == "disagreement, without what others had finished"


def test_the_whole_says_where_what_it_found_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert score("--share", "1/1").exit_code == 0
    monkeypatch.setattr("adarank.scoring.estimators.exact.draws_per_pass", lambda *_: 1)
    assert "of the 4 finished parts 0 were of use" in score().output


def test_a_share_that_could_not_be_kept_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FolderShelf, "writing", full)
    result = score("--share", "1/2")
    assert result.exit_code == 1 and "this share's scores could not be kept" in result.output


def test_texts_of_a_task_are_shared_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    write_task()
    options = ["--task", "questions", "--signal", "task_disagreement"]
    runner = CliRunner()
    made: list[dict[str, bytes]] = []
    for shares in ([], ["1/2", "2/2"]):
        for share in shares:
            result = runner.invoke(task_app, [*options, "--share", share])
            assert result.exit_code == 0, result.output
        with monkeypatch.context() as patch:
            if shares:
                patch.delattr(Comparisons, "_add")
            result = runner.invoke(task_app, options)
        assert result.exit_code == 0, result.output
        made.append(files("data/scores") | files("metrics/scores"))
        for folder in ("scratch", "data/scores", "metrics"):
            shutil.rmtree(folder)
    assert made[0] == made[1]
    refused = runner.invoke(task_app, [*options[:3], "fisher", "--share", "1/2"])
    assert refused.exit_code == 2 and "--signal task_disagreement" in refused.output


STOP = {"stop": {"relative_error": 0.1, "plan_budget": None}}


@pytest.mark.parametrize(
    ("options", "changed", "said"),
    [
        (["--share", "0/2"], {}, "1/4 to 4/4"),
        (["--share", "3/2"], {}, "1/4 to 4/4"),
        (["--share", "half"], {}, "1/4 to 4/4"),
        (["--share", "1/2"], STOP, "score.stop.relative_error"),
        (["--share", "1/2"], {"estimator": "linearized"}, "score.estimator"),
        (["--share", "1/2", "--signal", "linearized"], {}, "--signal disagreement"),
        (["--share", "1/2", "--signal", "as_published"], {}, "--signal disagreement"),
        (["--share", "1/2", "--signal", "stable_rank"], {}, "--signal disagreement"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(
    options: list[str], changed: dict[str, Any], said: str
) -> None:
    write(**changed)
    result = score(*options)
    assert result.exit_code == 2 and said in result.output and "Traceback" not in result.output


def test_without_a_store_there_is_no_place_for_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADARANK_SCRATCH", "off")
    result = score("--share", "1/2")
    assert result.exit_code == 2 and "ADARANK_SCRATCH" in result.output
