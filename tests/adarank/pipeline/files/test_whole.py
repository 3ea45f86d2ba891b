"""Files are whole or absent, and the same content gives the same bytes."""

import struct
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adarank.errors import InputError
from adarank.pipeline.files.tables import read_parquet, write_parquet, write_tsv
from adarank.pipeline.files.whole import (
    Record,
    folder_sha256,
    read_json,
    read_record,
    whole_folder,
    write_bytes,
    write_json,
)

TABLE = pd.DataFrame({"name": ["a", "b"], "value": [0.1, 1 / 3]})


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_bytes(path, b"old")

    def cut(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", cut)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_its_name_only_when_complete(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with whole_folder(folder) as working:
        (working / "a").write_text("1")
        assert not folder.exists()
    with pytest.raises(OSError, match="no more"), whole_folder(folder) as working:
        (working / "b").write_text("2")
        raise OSError("no more")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "a"]


def test_a_folder_replaces_the_one_before(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with whole_folder(tmp_path / "model") as working:
            (working / name).write_text(name)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]


def test_json_is_sorted_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.json"
    write_json(path, {"b": 1, "a": "ü"})
    assert path.read_text(encoding="utf-8") == '{\n  "a": "ü",\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": "ü", "b": 1}


def test_parquet_brings_table_and_metadata_back_from_stable_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1.parquet", tmp_path / "other-name.parquet"
    write_parquet(first, TABLE, {"b": [1], "a": {"x": None}})
    write_parquet(second, TABLE, {"a": {"x": None}, "b": [1]})
    assert first.read_bytes() == second.read_bytes()
    table, metadata = read_parquet(first)
    pd.testing.assert_frame_equal(table, TABLE, check_dtype=False)
    assert metadata == {"a": {"x": None}, "b": [1]}


def test_tsv_keeps_full_precision(tmp_path: Path) -> None:
    write_tsv(tmp_path / "x.tsv", TABLE)
    assert pd.read_csv(tmp_path / "x.tsv", sep="\t")["value"].tolist() == [0.1, 1 / 3]


@pytest.mark.parametrize("read", [read_json, read_parquet])
def test_absent_and_torn_files_say_what_to_do(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(InputError, match="run `dvc repro` to make it"):
        read(tmp_path / "absent")
    (tmp_path / "torn").write_bytes(b'{"a": ')
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path / "torn")


def test_folder_hash_sees_names_and_bytes_but_not_the_order_of_writing(tmp_path: Path) -> None:
    hashes: list[str] = []
    for index, files in enumerate(
        [{"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1", "c": "2"}, {"a": "1", "b": "3"}]
    ):
        folder = tmp_path / str(index)
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        hashes.append(folder_sha256(folder))
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3


def test_an_empty_folder_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        folder_sha256(tmp_path)


def test_a_flipped_byte_in_a_table_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(path, pd.DataFrame({"score": [1 / n for n in range(1, 500)]}))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read_parquet(path)


def test_a_table_of_text_that_is_none_is_refused_where_it_is_read(tmp_path: Path) -> None:
    # Found by fuzzing: pandas keeps Arrow's text as it is, and stumbles over it when it is used.
    offsets = pa.py_buffer(struct.pack("<ii", 0, 2))
    text = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xc3\x28")])
    pq.write_table(pa.table({"module": text}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="damaged"):
        read_parquet(tmp_path / "t.parquet")


@pytest.mark.parametrize("content", ["[]", "null", '{"n": "many"}', '{"m": 1}', '{"n": 1.5}'])
def test_a_record_of_another_form_names_file_and_entry(tmp_path: Path, content: str) -> None:
    class Form(Record):
        n: int

    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"r\.json: (n|the whole): not what the stage before"):
        read_record(path, Form)
    path.write_text('{"n": 1, "beside": 2}')
    assert read_record(path, Form) == {"n": 1, "beside": 2}
