"""Datasets in files: csv, tsv, json, jsonl and parquet."""

import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.reading.files import read_files
from adarank.pipeline.datasets.reading.form import Form
from adarank.pipeline.datasets.rows.templates import parse_templates
from adarank.pipeline.files import whole as files
from tests.rows import write

TEXT_LABEL = Columns("text", "label")
UTF8 = Form("utf-8", None)
ROWS = [("who, me", "b"), ('a "q"', "a"), ("", "b"), ("é", "10")]


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
    assert list(found.frames["train"]["label"]) == [1, None]
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
        ("train.csv", "text,label,label\na,b,c\n", "several columns have the name"),
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
    assert list(found.frames["train"]["label"]) == ["x", None]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_only_the_columns_asked_for_are_kept(tmp_path, suffix):
    names = ("id", "question", "context", "answer", "answer 2")
    write(tmp_path / f"train.{suffix}", [("7", "q", "c", "a", "b")], names)
    templates = parse_templates(["{context}: {question} {answer}", "{question} {answer}"])
    wanted = Columns(target="answer", pair="answer 2", templates=templates)
    found = read_files(tmp_path, {"train": f"train.{suffix}"}, wanted, UTF8).frames["train"]
    assert found.to_dict("records") == [
        {"answer 2": "b", "answer": "a", "context": "c", "question": "q"}
    ]


def test_every_column_that_is_not_there_is_told_at_once(tmp_path):
    write(tmp_path / "train.csv", ROWS)
    templates = parse_templates(["{text}", "Q: {txt} {label}"])
    wanted = Columns(target="labels", pair="second", templates=templates)
    with pytest.raises(InputError) as caught:
        read_files(tmp_path, {"train": "train.csv"}, wanted, UTF8)
    where = [problem.where for problem in caught.value.problems]
    assert where == ["dataset.pair_key", "dataset.target_key", "dataset.templates[1]"]
    template = caught.value.problems[2]
    assert template.got == "{txt} in 'Q: {txt} {label}'"
    assert template.expected == "one of text, label"
    assert template.remedy == "{text}"
    assert str(tmp_path / "train.csv") in template.what
