"""Datasets read, judged, divided and written."""

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import datasets
import pandas as pd
import pytest
from typer.testing import CliRunner

from adarank.errors import InputError
from stages import download, files
from stages.files import folder_sha256, read_parquet
from stages.tables import hub
from stages.tables.classification import EMPTY, NO_CLASS, NO_LABEL, NO_TEXT, UNSEEN, classification
from stages.tables.files import Form, read_files
from stages.tables.raw import Columns, Raw
from stages.tables.read import read_dataset
from stages.tables.splits import carve

TEXT_LABEL = Columns("text", "label")
UTF8 = Form("utf-8", None)
ROWS = [("who, me", "b"), ('a "q"', "a"), ("", "b"), ("é", "10")]


def frame(rows: list[tuple]) -> pd.DataFrame:
    """A split's raw table."""
    return pd.DataFrame(rows, columns=["text", "target"], dtype=object)


def raw(classes: tuple[str, ...] | None = None, **splits: list[tuple]) -> Raw:
    """A raw dataset of the splits given."""
    return Raw({split: frame(rows) for split, rows in splits.items()}, classes)


def write(path: Path, rows: list[tuple]) -> None:
    """Write rows as the path's suffix says."""
    table = pd.DataFrame(rows, columns=["text", "label"])
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix in (".json", ".jsonl"):
        table.to_json(path, orient="records", lines=path.suffix == ".jsonl")
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_every_kind_of_file_reads_alike(tmp_path, suffix):
    write(tmp_path / f"train.{suffix}", ROWS)
    found = read_files(tmp_path, {"train": f"train.{suffix}"}, TEXT_LABEL, UTF8)
    assert [tuple(row) for row in found.frames["train"].to_numpy()] == ROWS
    assert found.sha256 == {f"train.{suffix}": files.sha256(tmp_path / f"train.{suffix}")}


def test_words_that_other_readers_take_for_missing_stay(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\nNA,null\n007,1.0\n")
    found = read_files(tmp_path, {"train": "train.csv"}, TEXT_LABEL, UTF8)
    assert [tuple(row) for row in found.frames["train"].to_numpy()] == [
        ("NA", "null"),
        ("007", "1.0"),
    ]


def test_integers_of_json_and_parquet_stay_integers_beside_missing_ones(tmp_path):
    rows = '{"text": "a", "label": 1}\n\n{"text": "b\u2028c"}\n'
    (tmp_path / "train.jsonl").write_text(rows, encoding="utf-8")
    found = read_files(tmp_path, {"train": "train.jsonl"}, TEXT_LABEL, UTF8)
    assert list(found.frames["train"]["target"]) == [1, None]
    assert found.frames["train"]["text"][1] == "b\u2028c"


def test_encoding_and_separator(tmp_path):
    (tmp_path / "train.csv").write_bytes("text;label\nété, encore;x\n".encode("latin-1"))
    form = Form("latin-1", ";")
    found = read_files(tmp_path, {"train": "train.csv"}, TEXT_LABEL, form)
    assert found.frames["train"]["text"][0] == "été, encore"
    with pytest.raises(InputError, match=r"dataset\.encoding"):
        read_files(tmp_path, {"train": "train.csv"}, TEXT_LABEL, Form("utf-8", ";"))
    with pytest.raises(InputError, match="unknown encoding"):
        read_files(tmp_path, {"train": "train.csv"}, TEXT_LABEL, Form("utf-9", ";"))


def test_the_mark_of_spreadsheets_is_no_part_of_a_name(tmp_path):
    (tmp_path / "train.csv").write_bytes("text,label\na,x\n".encode("utf-8-sig"))
    read_files(tmp_path, {"train": "train.csv"}, TEXT_LABEL, UTF8)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("train.csv", "text,label\na,b,c\n", "line 2: 3 fields"),
        ("train.csv", 'text,label\n"a,b\n', "unexpected end of data"),
        ("train.csv", "label,label\na,b\n", "two columns of one name"),
        ("train.jsonl", '{"text": 1}\n{"text"\n', "line 2"),
        ("train.json", '{"text": 1}', "not a list of objects"),
        ("train.parquet", "text", "damaged"),
        ("train.xlsx", "", "csv"),
    ],
)
def test_damaged_files_are_told(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=told) as caught:
        read_files(tmp_path, {"train": name}, TEXT_LABEL, UTF8)
    assert str(tmp_path / name) in str(caught.value)


def test_absent_files_and_columns_are_told(tmp_path):
    with pytest.raises(InputError, match=r"dataset\.splits\.train: no such file"):
        read_files(tmp_path, {"train": "train.csv"}, TEXT_LABEL, UTF8)
    write(tmp_path / "train.csv", ROWS)
    with pytest.raises(InputError) as caught:
        read_files(tmp_path, {"train": "train.csv"}, Columns("text", "labels"), UTF8)
    assert "dataset.target_key: no such target column" in str(caught.value)
    assert "one of text, label" in str(caught.value)
    assert "dataset.target_key: label" in str(caught.value)


def test_text_within_quotes_keeps_its_line_ends(tmp_path):
    content = 'text,label\r\n"a\r\nb\u2028c",x\r\n\r\nd,y\r\n'
    (tmp_path / "train.csv").write_bytes(content.encode())
    found = read_files(tmp_path, {"train": "train.csv"}, TEXT_LABEL, UTF8)
    assert list(found.frames["train"]["text"]) == ["a\r\nb\u2028c", "d"]


def test_a_short_row_has_no_label(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,x\nb\n")
    found = read_files(tmp_path, {"train": "train.csv"}, TEXT_LABEL, UTF8)
    assert list(found.frames["train"]["target"]) == ["x", None]


@pytest.mark.parametrize(
    ("targets", "labels"),
    [
        (["b", "a", "C"], ["C", "a", "b"]),
        (["10", "9", "-1"], ["-1", "9", "10"]),
        ([10, 9.0, "9 "], ["9", "10"]),
        ([True, False], ["false", "true"]),
        (["10", "9", "x"], ["10", "9", "x"]),
    ],
)
def test_class_ids_follow_sorted_names(targets, labels):
    rows = [("t", target) for target in targets]
    found = classification(raw(train=rows, test=rows), num_classes=len(labels), drop=False)
    assert found.note["labels"] == labels
    names = [labels[index] for index in found.frames["test"]["label"]]
    assert names == [_name(target) for target in targets]
    assert str(found.frames["train"]["label"].dtype) == "int64"


def _name(target: object) -> str:
    if isinstance(target, bool):
        return str(target).lower()
    return str(int(target)) if isinstance(target, float) else str(target).strip()


def test_declared_order_of_classes_is_kept():
    rows = [("t", name) for name in ("sad", "glad")]
    data = raw(("sad", "unused", "glad"), train=rows, test=rows)
    found = classification(data, num_classes=None, drop=False)
    assert found.note["labels"] == ["sad", "glad"]
    assert list(found.frames["test"]["label"]) == [0, 1]


BAD = [("a", "x"), (" ", "y"), (None, "x"), (float("nan"), "x"), (7, "x"), ("b", ""), ("c", "y")]
BAD_TEST = [("a", "z"), ("b", 0.5), ("c", ["x"]), ("d", None), ("e", "x"), ("f", float("nan"))]


def test_bad_rows_are_refused_with_their_counts():
    with pytest.raises(InputError) as caught:
        classification(raw(train=BAD, test=BAD_TEST), num_classes=None, drop=False)
    said = str(caught.value)
    assert f"dataset, train split: 3 of 7 rows with {EMPTY}" in said
    assert "rows 2, 3, 4" in said
    assert f"dataset, train split: 1 of 7 rows with {NO_TEXT}" in said
    assert f"dataset, train split: 1 of 7 rows with {NO_LABEL}" in said
    assert f"dataset, test split: 1 of 6 rows with {UNSEEN}" in said
    assert f"dataset, test split: 2 of 6 rows with {NO_CLASS}" in said
    assert "dataset.bad_rows: drop" in said


def test_bad_rows_are_dropped_and_counted():
    found = classification(raw(train=BAD, test=BAD_TEST), num_classes=2, drop=True)
    assert found.note["dropped"] == {
        "train": {EMPTY: 3, NO_LABEL: 1, NO_TEXT: 1},
        "test": {UNSEEN: 1, NO_CLASS: 2, NO_LABEL: 2},
    }
    assert list(found.frames["train"]["text"]) == ["a", "c"]
    assert list(found.frames["test"]["text"]) == ["e"]


def test_a_label_that_only_bad_rows_of_train_have_is_unseen():
    data = raw(train=[("a", "x"), ("b", "y"), ("", "z")], test=[("c", "z"), ("d", "x")])
    found = classification(data, num_classes=None, drop=True)
    assert found.note["dropped"]["test"] == {UNSEEN: 1}


@pytest.mark.parametrize(
    ("train", "test", "num_classes", "told"),
    [
        ([("a", "x"), ("b", "x")], [("a", "x")], None, "fewer than two classes"),
        ([], [], None, "fewer than two classes"),
        ([("a", "x"), ("b", "y")], [("a", "x")], 3, "2 in train: x, y"),
        ([("a", "x"), ("b", "y")], [], None, r"dataset\.splits\.test: the split is empty"),
        ([("a", "x"), ("b", "y")], [("a", "z")], None, "none usable"),
    ],
)
def test_classes_and_rows_there_must_be(train, test, num_classes, told):
    with pytest.raises(InputError, match=told):
        classification(raw(train=train, test=test), num_classes=num_classes, drop=True)


def numbered(counts: list[int]) -> pd.DataFrame:
    """Rows of each class as counted, mixed, each text once."""
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    table = pd.DataFrame({"text": [f"t{i}" for i in range(len(labels))], "label": labels})
    return table.sample(frac=1, random_state=3).reset_index(drop=True)


def test_carved_validation_is_stratified_disjoint_and_in_order():
    train = numbered([100, 50, 10, 1])
    parts = carve(train, 0.1, 0)
    counts = parts["validation"]["label"].value_counts().to_dict()
    assert counts == {0: 10, 1: 5, 2: 1}
    both = pd.concat(parts.values())
    assert sorted(both["text"]) == sorted(train["text"])
    position = {text: index for index, text in enumerate(train["text"])}
    for part in parts.values():
        places = [position[text] for text in part["text"]]
        assert places == sorted(places)
    assert set(parts["train"]["label"]) == {0, 1, 2, 3}


def test_carving_follows_its_seed():
    train = numbered([40, 40])
    assert carve(train, 0.25, 1)["validation"].equals(carve(train, 0.25, 1)["validation"])
    assert not carve(train, 0.25, 1)["validation"].equals(carve(train, 0.25, 2)["validation"])


@pytest.mark.parametrize("counts", [[5, 5, 5], [1, 1]])
def test_too_few_rows_to_carve_from(counts):
    with pytest.raises(InputError, match="validation_fraction"):
        carve(numbered(counts), 0.1, 0)


def test_splits_that_cannot_be_meant(tmp_path):
    source = f"file:{tmp_path}"
    write(tmp_path / "a.csv", ROWS)
    with pytest.raises(InputError, match="a test split is needed"):
        read_dataset(source, {"train": "a.csv", "test": None}, TEXT_LABEL, UTF8)
    with pytest.raises(InputError, match="both train and test"):
        read_dataset(source, {"train": "a.csv", "test": "a.csv"}, TEXT_LABEL, UTF8)
    with pytest.raises(InputError, match="one column"):
        read_dataset(source, {"train": "a.csv", "test": "b.csv"}, Columns("text", "text"), UTF8)
    with pytest.raises(InputError, match="one of train, validation, test"):
        read_dataset("builtin:questions", {"train": "train", "test": "tst"}, TEXT_LABEL, UTF8)


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A hub with one dataset, whose test labels are partly withheld."""
    state = SimpleNamespace(loaded=[])
    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["sad", "glad"]),
        }
    )
    rows = {
        "train": {"sentence": ["a", "b", "c"], "label": [1, 0, 1]},
        "validation": {"sentence": ["d", "e"], "label": [0, -1]},
    }

    def dataset_info(_self, repository, *, revision):
        assert (repository, revision) == ("org/set", "main")
        return SimpleNamespace(sha="c0ffee")

    def load_dataset(repository, config, *, revision, split):
        state.loaded.append((repository, config, revision, split))
        if split not in rows:
            raise ValueError(f'Unknown split "{split}". Should be one of {list(rows)}.')
        return datasets.Dataset.from_dict(rows[split], features=features)

    monkeypatch.setattr(hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setattr(hub, "load_dataset", load_dataset)
    return state


def test_hub_datasets_keep_their_classes_and_commit(fake_hub):
    splits = {"train": "train", "validation": None, "test": "validation"}
    found = read_dataset("hf:org/set/conf@main", splits, Columns("sentence", "label"), UTF8)
    assert fake_hub.loaded == [
        ("org/set", "conf", "c0ffee", "train"),
        ("org/set", "conf", "c0ffee", "validation"),
    ]
    assert found.revision == "c0ffee"
    assert found.classes == ("sad", "glad")
    assert list(found.frames["train"]["target"]) == ["glad", "sad", "glad"]
    assert list(found.frames["test"]["target"]) == ["sad", None]


def test_hub_datasets_without_the_split_or_column(fake_hub):
    columns = Columns("sentence", "label")
    with pytest.raises(InputError, match="Should be one of"):
        read_dataset("hf:org/set@main", {"train": "train", "test": "tset"}, columns, UTF8)
    assert len(fake_hub.loaded) == 2
    with pytest.raises(InputError, match="text_key: no such text column"):
        read_dataset("hf:org/set@main", {"train": "train", "test": "validation"}, TEXT_LABEL, UTF8)


SECTION = {
    "source": "builtin:questions",
    "splits": {"train": "train", "validation": None, "test": "test"},
    "task": "classification",
    "text_key": "text",
    "target_key": "label",
    "num_classes": None,
    "bad_rows": "refuse",
    "validation_fraction": 0.1,
    "validation_seed": 0,
    "encoding": "utf-8",
    "separator": None,
    "sha256": {},
}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that runs the stage in a project of its own, with keys changed."""
    monkeypatch.chdir(tmp_path)

    def run(**changed: object):
        Path("params.yaml").write_text(json.dumps({"dataset": SECTION | changed}))
        return CliRunner().invoke(download.app, ["dataset"])

    return run


def test_the_builtin_dataset_is_written_and_byte_stable(stage):
    result = stage()
    assert result.exit_code == 0, result.output
    note = json.loads(Path("data/dataset/dataset.json").read_text())
    assert len(note["labels"]) == 6
    tables = {
        split: read_parquet(Path(f"data/dataset/{split}.parquet"))[0] for split in note["rows"]
    }
    assert {split: len(table) for split, table in tables.items()} == note["rows"]
    assert set(tables) == {"train", "validation", "test"}
    assert list(tables["train"].columns) == ["text", "label"]
    assert set(tables["validation"]["label"]) == set(range(6))
    assert note["sha256"]["test.parquet"] == files.sha256(Path("data/dataset/test.parquet"))
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
    assert len(read_parquet(Path("data/dataset/train.parquet"))[0]) == 6
    assert json.loads(Path("data/sources/dataset.json").read_text())["sha256"]["train.csv"] == pin
    kept = folder_sha256(Path("data/dataset"))
    result = stage(source="file:.", splits=splits, sha256={"train.csv": "0" * 64})
    assert result.exit_code == 2
    assert "dataset.sha256.train.csv: the file's bytes are not the pinned ones" in result.output
    assert folder_sha256(Path("data/dataset")) == kept


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
    real = download.write_parquet

    def full(path: Path, table: pd.DataFrame) -> None:
        if path.name == "test.parquet":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, table)

    monkeypatch.setattr(download, "write_parquet", full)
    result = stage()
    assert result.exit_code == 1
    assert "the disk is full" in result.output
    assert list(Path("data").iterdir()) == []
