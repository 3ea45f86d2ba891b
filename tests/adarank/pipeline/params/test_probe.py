"""The probe's texts, from text files and from the dataset's rows."""

from pathlib import Path

import pandas as pd
import pytest

from adarank.errors import InputError
from adarank.pipeline.files.tables import write_parquet
from adarank.pipeline.params.probe import ProbeSection, file_texts, read_texts


def probe(source: Path, rows: int = 2, seed: int = 0) -> ProbeSection:
    return ProbeSection(source=str(source), rows=rows, max_length=16, seed=seed)


def saved(folder: Path, **columns: list) -> Path:
    path = folder / "train.parquet"
    write_parquet(path, pd.DataFrame(columns))
    return path


@pytest.mark.parametrize(
    ("columns", "texts"),
    [
        ({"text": ["a", "b"], "label": [0, 1]}, ["a", "b"]),
        ({"text": ["a", "b"], "pair": ["c", "d"], "target": [0.5, 1.0]}, ["a c", "b d"]),
        ({"prompt": ["Q: a\nA: ", ""], "response": ["b", "c"]}, ["Q: a\nA: b", "c"]),
        ({"text": ["a", "b"], "target": ["x", "y"], "label": [-1, -1]}, ["a", "b"]),
    ],
)
def test_rows_of_every_kind_are_read_as_a_model_would(tmp_path, columns, texts):
    assert read_texts(probe(saved(tmp_path, **columns))) == texts


def test_a_sample_is_drawn_by_its_seed_and_keeps_the_order(tmp_path):
    path = saved(tmp_path, text=[f"t{index:02}" for index in range(50)])
    drawn = read_texts(probe(path, rows=10, seed=1))
    assert drawn == sorted(drawn) and len(set(drawn)) == 10
    assert drawn == read_texts(probe(path, rows=10, seed=1))
    assert drawn != read_texts(probe(path, rows=10, seed=2))


def test_lines_of_a_text_file(tmp_path):
    path = tmp_path / "probe.txt"
    path.write_text("one\n\n two \nthree\n", encoding="utf-8")
    assert read_texts(probe(path)) == ["one", "two"]
    with pytest.raises(InputError, match="at most 3"):
        read_texts(probe(path, rows=4))


def test_a_table_that_is_not_the_datasets(tmp_path):
    path = saved(tmp_path, sentence=["a", "b"], prompt=["c", "d"])
    with pytest.raises(InputError) as caught:
        read_texts(probe(path))
    (problem,) = caught.value.problems
    assert problem.where == "probe.source"
    assert problem.got == f"{path} with columns sentence, prompt"


def test_another_kind_of_file(tmp_path):
    with pytest.raises(InputError, match=r"a \.txt file"):
        read_texts(probe(tmp_path / "probe.xlsx"))


def test_only_line_ends_end_a_text_and_a_mark_is_no_part_of_one(tmp_path):
    path = tmp_path / "probe.txt"
    path.write_bytes("\ufeffone\x0band\u2028more\x85still\r\n\x0ctwo\n".encode())
    assert read_texts(probe(path)) == ["one\x0band\u2028more\x85still", "two"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", 'label,text\n1,"one, and"\n0,NA\n1, \n'),
        ("p.csv", '\ufefflabel, text\n1,"one, and"\n0,NA\n'),
        ("p.tsv", "text\tlabel\none, and\t1\nNA\t0\n"),
        ("p.json", '[{"text": "one, and"}, {"text": "NA"}, {"text": null}]'),
        ("p.jsonl", '{"text": "one, and"}\n\n{"text": "NA", "more": [1]}\n{"more": 2}\n'),
    ],
)
def test_tables_are_read_by_column(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert read_texts(probe(tmp_path / name)) == file_texts(tmp_path / name) == ["one, and", "NA"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("p.csv", "sentence,label\na,1\n", "with columns sentence, label"),
        ("p.csv", 'text\n"a\n', "damaged"),
        ("p.csv", "", "damaged"),
        ("p.json", "{", "damaged"),
        ("p.jsonl", '{"text": 1', "damaged"),
        ("p.jsonl", "[" * 100_000, "damaged"),
        ("p.jsonl", '{"text": "half \\ud83d"}\n{"text": "b"}\n', "1 of 2 texts"),
        ("p.parquet", "text", "parquet"),
    ],
)
def test_tables_that_are_no_probe(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=told):
        read_texts(probe(tmp_path / name))
