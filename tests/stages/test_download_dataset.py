"""The dataset stage: read, judged, divided and written."""

import errno
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from adarank.errors import InputError
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.read import read_dataset
from adarank.pipeline.datasets.reading.form import Form
from adarank.pipeline.datasets.rows.judging import EMPTY
from adarank.pipeline.files import whole as files
from adarank.pipeline.files.tables import read_parquet
from adarank.pipeline.files.whole import folder_sha256
from stages import download_task
from tests.rows import SECTION, write

OWN = {"train": "train.jsonl", "validation": None, "test": None}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that runs the stage in a project of its own, with keys changed."""
    monkeypatch.chdir(tmp_path)

    def run(**changed: object):
        Path("params.yaml").write_text(json.dumps({"tasks": {"questions": SECTION | changed}}))
        return CliRunner().invoke(download_task.app, ["--task", "questions"])

    return run


def test_the_builtin_dataset_is_written_and_byte_stable(stage):
    result = stage()
    assert result.exit_code == 0, result.output
    note = json.loads(Path("data/tasks/questions/task.json").read_text())
    assert len(note["labels"]) == 6
    tables = {
        split: read_parquet(Path(f"data/tasks/questions/{split}.parquet"))[0]
        for split in note["rows"]
    }
    assert {split: len(table) for split, table in tables.items()} == note["rows"]
    assert set(tables) == {"train", "validation", "test"}
    assert list(tables["train"].columns) == ["text", "label"]
    assert set(tables["validation"]["label"]) == set(range(6))
    assert note["sha256"]["test.parquet"] == files.sha256(Path("data/tasks/questions/test.parquet"))
    before = folder_sha256(Path("data"))
    assert stage().exit_code == 0
    assert folder_sha256(Path("data")) == before
    assert stage(sha256={"train.parquet": note["sha256"]["train.parquet"]}).exit_code == 0


def test_files_with_their_own_validation_and_pins(stage):
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(6)]
    for split in ("train", "validation", "test"):
        write(Path(f"{split}.csv"), rows)
    splits = {split: f"{split}.csv" for split in ("train", "validation", "test")}
    pin = files.sha256(Path("train.csv"))
    result = stage(source="file:.", splits=splits, sha256={"train.csv": pin})
    assert result.exit_code == 0, result.output
    assert len(read_parquet(Path("data/tasks/questions/train.parquet"))[0]) == 6
    assert (
        json.loads(Path("data/sources/tasks/questions.json").read_text())["sha256"]["train.csv"]
        == pin
    )
    kept = folder_sha256(Path("data/tasks/questions"))
    result = stage(source="file:.", splits=splits, sha256={"train.csv": "0" * 64})
    assert result.exit_code == 2
    assert (
        "tasks.questions.sha256.train.csv: the file's bytes are not the pinned ones"
        in result.output
    )
    assert folder_sha256(Path("data/tasks/questions")) == kept


def test_dropped_rows_are_said(stage):
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(40)]
    write(Path("train.csv"), [*rows, ("", "a")])
    write(Path("test.csv"), rows)
    changed = {
        "source": "file:.",
        "splits": {"train": "train.csv", "validation": None, "test": "test.csv"},
    }
    assert stage(**changed).exit_code == 2
    assert not Path("data").exists()
    result = stage(**changed, bad_rows="drop")
    assert f"36 rows of train, dropped 1 with {EMPTY}" in result.output


def test_a_write_that_fails_leaves_nothing(stage, monkeypatch):
    real = download_task.write_parquet

    def full(path: Path, table: pd.DataFrame) -> None:
        if path.name == "test.parquet":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, table)

    monkeypatch.setattr(download_task, "write_parquet", full)
    result = stage()
    assert result.exit_code == 1
    assert "the disk is full" in result.output
    assert [path for path in Path("data").rglob("*") if path.is_file()] == []


def tables() -> dict[str, pd.DataFrame]:
    """What the stage wrote, by split."""
    paths = Path("data/tasks/questions").glob("*.parquet")
    return {path.stem: read_parquet(path)[0] for path in paths}


def note() -> dict:
    return json.loads(Path("data/tasks/questions/task.json").read_text())


def test_instructions_are_carved_into_three_splits(stage):
    names = ("instruction", "input", "output")
    rows = [(f"Do {i}.", "" if i % 2 else f"with {i}", f"done {i}") for i in range(50)]
    write(Path("train.jsonl"), rows, names)
    changed = {
        "source": "file:.",
        "splits": OWN,
        "type": "causal_lm",
        "text_key": None,
        "target_key": "output",
        "templates": ["{instruction} ({input}) {output}", "{instruction} {output}"],
        "train_rows": 40,
        "test_fraction": 0.2,
    }
    result = stage(**changed)
    assert result.exit_code == 0, result.output
    assert note()["rows"] == {"train": 28, "validation": 4, "test": 8}
    assert note()["type"] == "causal_lm"
    both = pd.concat(tables().values())
    assert list(both.columns) == ["prompt", "response"]
    assert len(set(both["response"])) == 40
    assert set(both["prompt"]) < {f"Do {i}. " + f"(with {i}) " * (i % 2 == 0) for i in range(50)}
    before = folder_sha256(Path("data"))
    assert stage(**changed).exit_code == 0
    assert folder_sha256(Path("data")) == before
    result = stage(**changed | {"train_rows": 51})
    assert result.exit_code == 2
    assert "tasks.questions.train_rows: the train split has fewer rows" in result.output
    assert "at most 50" in result.output


def test_pairs_with_numbers(stage):
    rows = [(f"one {i}", f"other {i}", i / 4) for i in range(20)]
    write(Path("train.jsonl"), rows, ("a", "b", "score"))
    changed = {"source": "file:.", "splits": OWN, "type": "regression", "test_fraction": 0.1}
    keys = {"text_key": "a", "pair_key": "b", "target_key": "score"}
    result = stage(**changed, **keys)
    assert result.exit_code == 0, result.output
    train = tables()["train"]
    assert list(train.columns) == ["text", "pair", "target"]
    assert str(train["target"].dtype) == "float64"
    assert note()["target_mean"] == pytest.approx(train["target"].mean())
    assert note()["target_sd"] == pytest.approx(train["target"].std(ddof=0))


def test_words_for_targets(stage):
    write(Path("train.jsonl"), [(f"text {i}", i % 2) for i in range(40)])
    changed = {"source": "file:.", "splits": OWN, "type": "seq2seq", "test_fraction": 0.1}
    words = {
        "text_key": None,
        "templates": ["say: {text}"],
        "target_words": {"0": "no", "1": "yes"},
    }
    result = stage(**changed, **words)
    assert result.exit_code == 0, result.output
    train = tables()["train"]
    assert list(train.columns) == ["text", "target", "label"]
    assert train["text"].str.startswith("say: text ").all()
    assert [note()["labels"][label] for label in train["label"]] == list(train["target"])


def test_what_contradicts_itself_is_told_before_anything_is_read(stage):
    result = stage(source="file:nowhere", templates=["{a[0]}"], test_fraction=0.1)
    assert result.exit_code == 2
    assert "nowhere" not in result.output
    for key in ("templates", "templates[0]", "test_fraction"):
        assert f"params.yaml: tasks.questions.{key}: " in result.output
    assert not Path("data").exists()


def test_a_split_that_the_builtin_dataset_lacks():
    form, columns = Form("utf-8", None), Columns("text", "label")
    with pytest.raises(InputError, match="one of train, validation, test"):
        read_dataset("builtin:questions", {"train": "train", "test": "tst"}, columns, form)


def test_help_names_every_key():
    told = CliRunner().invoke(download_task.app, ["--help"], terminal_width=200).output
    for key in SECTION:
        assert f"tasks.NAME.{key}:" in told
