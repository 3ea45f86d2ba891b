"""Separated fields and lines: quotes, headers and ragged lines, as public files have them."""

import re
from pathlib import Path

import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.reading.files import read_files
from adarank.pipeline.datasets.reading.form import EXTRA, SHORT, SPANNING, Form, FormError, Table
from adarank.pipeline.datasets.reading.separated import read_lines, read_separated, separator_of
from tests.rows import write

TWO = Form(columns=("a", "b"))


def rows(table: Table) -> list[tuple]:
    return list(zip(*table.columns.values(), strict=True))


def stray(lines: int) -> str:
    """Lines of which every tenth, from the fifth on, has a field that begins with a quote."""
    return "".join(f'{n}\t{chr(34) if n % 10 == 5 else ""}he said "so\tx\n' for n in range(lines))


def test_quotes_that_quote_nothing_are_named_by_line_and_read_as_text():
    text = "n\ttext\tlabel\n" + stray(30)
    with pytest.raises(FormError, match="line 7: ") as caught:
        read_separated(text, Form(), "\t")
    assert "dataset.quoting: none" in caught.value.remedy
    table = read_separated(text, Form(quoting="none"), "\t")
    assert table.columns["text"] == [
        f'{chr(34) if n % 10 == 5 else ""}he said "so' for n in range(30)
    ]


def test_an_open_quote_is_named_by_the_line_where_it_opens():
    with pytest.raises(FormError, match="lines 3 to 5: unexpected end"):
        read_separated('a,b\n1,2\n3,"4\n5,6\n7,8\n', Form(), ",")


def test_rows_that_quotes_stretch_over_lines_are_counted():
    table = read_separated('a,b\n1,"x\ny"\n2,z\n', Form(), ",")
    assert rows(table) == [("1", "x\ny"), ("2", "z")]
    assert table.remarks == {SPANNING: 1}


@pytest.mark.parametrize(
    ("text", "names", "first"),
    [
        ("text, label\na b, x\n", ["text", "label"], ("a b", "x")),
        ('text, label\n"a, b", "x"\n', ["text", "label"], ("a, b", "x")),
        (" text ,label\n a, x\n", ["text", "label"], (" a", " x")),
        ("text,my label\na,x\n", ["text", "my label"], ("a", "x")),
    ],
)
def test_blanks_around_names_and_after_separators(text, names, first):
    table = read_separated(text, Form(), ",")
    assert list(table.columns) == names
    assert rows(table) == [first]


def test_columns_are_named_where_no_header_names_them():
    table = read_separated("1,x\n2,y\n", TWO, ",")
    assert rows(table) == [("1", "x"), ("2", "y")]
    assert (table.headed, table.remarks) == (0, {})


@pytest.mark.parametrize(
    ("extra", "kept"),
    [
        ("drop", [("1", "x"), ("2", "y"), ("3", None)]),
        ("join", [("1", "x"), ("2", "y,z,"), ("3", None)]),
    ],
)
def test_ragged_lines_by_their_rule_and_counted(extra, kept):
    form = Form(columns=("a", "b"), extra_fields=extra)
    table = read_separated("1,x\n2,y,z,\n3\n", form, ",")
    assert rows(table) == kept
    assert table.remarks == {SHORT: 1, EXTRA: 1}


def test_more_fields_than_columns_are_refused_by_line():
    with pytest.raises(FormError, match="line 2: 4 fields for 2 columns") as caught:
        read_separated("1,x\n2,y,z,\n", TWO, ",")
    assert "dataset.extra_fields: drop" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1\n2\n", "at most 1 fields a line, 2 names"),
        ("a,b\n1,x\n", "line 1 holds the names"),
    ],
)
def test_columns_that_cannot_be_meant(text, told):
    with pytest.raises(FormError, match=told) as caught:
        read_separated(text, TWO, ",")
    assert "dataset.columns" in caught.value.remedy


def test_nameless_and_doubled_columns_are_left_out(tmp_path):
    table = read_separated("v1,v2,,,x,x\nham,hello,,,1,2\n", Form(), ",")
    assert table.columns == {"v1": ["ham"], "v2": ["hello"]}
    assert table.doubled == {"x"}
    (tmp_path / "t.csv").write_text("v1,v2,,,x,x\nham,hello,,,1,2\n")
    read_files(tmp_path, {"train": "t.csv"}, Columns("v2", "v1"), Form())
    with pytest.raises(InputError, match="several columns have the name"):
        read_files(tmp_path, {"train": "t.csv"}, Columns("v2", "x"), Form())


def test_only_line_ends_end_a_line():
    text = "a\x0bb\u2028c\x85d\x0c\r\n\n e \rf\n"
    assert read_lines(text, Form()).columns == {"text": ["a\x0bb\u2028c\x85d\x0c", "", " e \rf"]}
    assert list(read_lines("a", Form(columns=("story",))).columns) == ["story"]
    with pytest.raises(FormError, match="2 names"):
        read_lines("a", TWO)


@pytest.mark.parametrize(
    ("header", "wanted", "found"),
    [
        (["text;label"], ["text", "label"], ";"),
        (["text\tlabel"], ["text", "label"], "\t"),
        (["a;b;c,d"], ["text"], ";"),
        (["text", "label"], ["txt"], None),
        (["text"], ["label"], None),
    ],
)
def test_the_separator_that_a_header_was_written_with(header, wanted, found):
    assert separator_of(header, wanted) == found


def refusal(folder: Path, form: Form) -> str:
    with pytest.raises(InputError) as caught:
        read_files(folder, {"train": "t.csv"}, Columns("text", "label"), form)
    return caught.value.problems[0].remedy


def test_the_remedy_for_another_separator_works(tmp_path):
    (tmp_path / "t.csv").write_text("text;label\na;x\n")
    remedy = refusal(tmp_path, Form())
    found = re.fullmatch(r'dataset\.separator: "(.)"', remedy)
    assert found
    form = Form(separator=found[1])
    frame = read_files(tmp_path, {"train": "t.csv"}, Columns("text", "label"), form).frames["train"]
    assert frame.to_numpy().tolist() == [["a", "x"]]


def test_the_remedy_for_no_header_loses_no_row(tmp_path):
    (tmp_path / "t.csv").write_text('"3","News","a, b"\n"4","More","c"\n')
    assert "dataset.columns: a name for each of its 3 fields" in refusal(tmp_path, Form())
    form = Form(columns=("label", "title", "text"))
    frame = read_files(tmp_path, {"train": "t.csv"}, Columns("text", "label"), form).frames["train"]
    assert frame.to_numpy().tolist() == [["a, b", "3"], ["c", "4"]]


def test_a_suffix_that_says_nothing_needs_a_format(tmp_path):
    (tmp_path / "t.txt").write_bytes("\ufeffham\thello\r\nspam\tbuy\r\n".encode())
    splits, wanted = {"train": "t.txt"}, Columns("text", "label")
    with pytest.raises(InputError, match=r"dataset\.format: lines"):
        read_files(tmp_path, splits, wanted, Form())
    form = Form(format="tsv", columns=("label", "text"))
    frame = read_files(tmp_path, splits, wanted, form).frames["train"]
    assert frame.to_numpy().tolist() == [["hello", "ham"], ["buy", "spam"]]


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.parquet"])
def test_files_that_name_their_columns_take_no_names(tmp_path, name):
    write(tmp_path / name, [("a", "x")])
    with pytest.raises(InputError, match=r"leave dataset\.columns out"):
        read_files(tmp_path, {"train": name}, Columns("a", "b"), TWO)
