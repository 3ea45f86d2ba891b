"""Units made of what DVC knows of stages: what decides them, and what cannot be sent."""

from pathlib import Path

import pytest

from adarank.commands.sweep.units import UnitMaker, not_sendable
from adarank.pipeline.clusters.blobs import Blobs
from adarank.pipeline.clusters.steps import Step
from adarank.pipeline.scratch.shelf import FolderShelf
from tests.pipeline.toy_cells import ToyCells
from tests.pipeline.toy_study import outcome

pytestmark = pytest.mark.pipeline

SCORING = "score@noise"
PROBE = "adarank/pipeline/builtin/sentences.txt"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyCells:
    toy = ToyCells(tmp_path / "toy", scores="noise", noise="good", a="good")
    monkeypatch.chdir(toy.path)
    return toy


def reads(toy: ToyCells, *paths: str) -> None:
    """Have the scoring read further files."""
    text = (toy.path / "dvc.yaml").read_text()
    head, score, tail = text.partition("  score:\n")
    (toy.path / "dvc.yaml").write_text(
        head + score + tail.replace("deps: [", "deps: [" + "".join(f'"{p}", ' for p in paths))
    )


def step(maker: UnitMaker) -> Step:
    (first,) = maker.make({SCORING: [SCORING]}, [SCORING])[SCORING].unit.steps
    return first


def test_a_text_among_the_code_is_an_input_and_the_code_is_not(toy: ToyCells) -> None:
    Path(PROBE).parent.mkdir(parents=True)
    for name in (PROBE, "adarank/errors.py", "adarank/models/form.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("one\n")
    reads(toy, PROBE, "adarank/errors.py", "adarank/models")
    maker = UnitMaker(Blobs(FolderShelf(toy.store)), {}, {})
    before = step(maker)
    assert set(before.inputs) == {"work.py", "orders/noise", PROBE}
    Path(PROBE).write_text("another\n")
    assert step(maker).digest() != before.digest()


def test_each_time_parameters_are_read_anew(toy: ToyCells) -> None:
    maker = UnitMaker(Blobs(FolderShelf(toy.store)), {}, {})
    assert maker.make({SCORING: [SCORING]}, [SCORING])[SCORING].unit.params == ""
    Path("params.yaml").write_text("steps: 3\n")
    assert maker.make({SCORING: [SCORING]}, [SCORING])[SCORING].unit.params == "steps: 3\n"


def test_what_no_machine_could_be_sent_is_named(toy: ToyCells, tmp_path: Path) -> None:
    assert not_sendable([SCORING, "finetune@a"]) == {"finetune@a": "adapters/noise is not there"}
    (tmp_path / "probe.txt").write_text("one\n")
    for path in (str(tmp_path / "probe.txt"), "../probe.txt"):
        reads(toy, path)
        assert not_sendable([SCORING]) == {SCORING: f"{path} lies outside the project"}
    reads(toy, "gone.txt")
    assert not_sendable([SCORING]) == {SCORING: "gone.txt is not there"}


def test_a_scoring_that_cannot_be_sent_runs_here(toy: ToyCells, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: adarank[slurm]")
    (tmp_path / "probe.txt").write_text("one\n")
    reads(toy, str(tmp_path / "probe.txt"))
    code, said = toy.sweep("--where", "slurm", "--shares", "2", ADARANK_SLURM="local")
    assert code == 0 and toy.runs() == {"noise": 1, "a": 1}, said
    assert f"{SCORING}: runs here: {tmp_path}/probe.txt lies outside the project" in said
    assert outcome(said, "a") == "finetune ran, evaluate ran, summarize ran"
    reads(toy, "gone.txt")
    code, said = toy.sweep("--where", "slurm", "--shares", "2", ADARANK_SLURM="local")
    assert code == 1 and f"{SCORING} failed" in said and "gone.txt" in said, said
    assert outcome(said, "a") == f"not run, it needs {SCORING}"
