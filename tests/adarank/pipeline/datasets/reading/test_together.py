"""Splits in several files: side by side, and a file for each class."""

import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.reading.files import read_files
from adarank.pipeline.datasets.reading.form import Form
from adarank.pipeline.files.whole import sha256

LINES = Form(format="lines")
BOTH = Form(format="lines", columns=("text", "label"))
WANTED = Columns("text", "label")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "texts.txt").write_text("one\n\nthree\n")
    (tmp_path / "labels.txt").write_text("0\n1\n0\n")
    (tmp_path / "few.txt").write_text("0\n1\n")
    return tmp_path


def test_texts_and_labels_in_files_of_their_own(folder):
    found = read_files(folder, {"train": ("texts.txt", "labels.txt")}, WANTED, BOTH)
    rows = found.frames["train"].to_numpy().tolist()
    assert rows == [["one", "0"], ["", "1"], ["three", "0"]]
    assert found.sha256 == {n: sha256(folder / n) for n in ("texts.txt", "labels.txt")}


@pytest.mark.parametrize(
    ("files", "form", "told"),
    [
        (("texts.txt", "few.txt"), BOTH, "texts.txt: 3 rows, few.txt: 2 rows"),
        (("texts.txt", "labels.txt"), LINES, "columns of one name"),
        (("texts.txt",), BOTH, "dataset.columns: files side by side need a name each"),
    ],
)
def test_files_that_do_not_go_together(folder, files, form, told):
    with pytest.raises(InputError, match=told):
        read_files(folder, {"train": files}, WANTED, form)


def test_texts_without_labels_are_told_where_labels_can_be(folder):
    with pytest.raises(InputError, match="no such target column") as caught:
        read_files(folder, {"train": "texts.txt"}, WANTED, LINES)
    (problem,) = caught.value.problems
    expected = "a list of two files (texts, labels), or a file for each label"
    assert problem.remedy == f"dataset.splits: for each split {expected}"


def test_a_file_for_each_class(folder):
    files = {"odd": "texts.txt", "even": "few.txt"}
    found = read_files(folder, {"train": files}, WANTED, LINES).frames["train"]
    assert list(found["text"]) == ["one", "", "three", "0", "1"]
    assert list(found["label"]) == ["odd"] * 3 + ["even"] * 2


def test_classes_of_files_that_have_a_column_of_that_name(folder):
    (folder / "a.csv").write_text("text,label\nx,1\n")
    with pytest.raises(InputError, match=r"dataset\.target_key: another name"):
        read_files(folder, {"train": {"a": "a.csv"}}, WANTED, Form())
    found = read_files(folder, {"train": {"a": "a.csv"}}, Columns("text", "class"), Form())
    assert found.frames["train"].to_numpy().tolist() == [["x", "a"]]
