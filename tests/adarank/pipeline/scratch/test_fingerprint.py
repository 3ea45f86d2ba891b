"""The fingerprint follows what code does, and nothing else that is written in it."""

from pathlib import Path

import pytest

from adarank.pipeline.scratch import fingerprint as module
from adarank.pipeline.scratch.closure import closure, parse_source
from adarank.pipeline.scratch.fingerprint import fingerprint

CODE = '''"""What it is."""

LIMIT = 3  # texts
"""How many."""


def mean(values: list[float]) -> float:
    """Average."""
    return sum(values) / len(values)
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# texts", "# txets, a typo"),
        ('"""Average."""', '"""Averages,\n\n    at length."""'),
        ('    """Average."""\n', ""),
        ('"""How many."""', '"""How few."""'),
        ('"""What it is."""', '"""What it was."""'),
        ("\n\ndef", "\n\n\n\n# more\ndef"),
        ("sum(values) / len(values)", "(\n        sum(values)\n        / len(values)\n    )"),
    ],
)
def test_comments_docstrings_and_layout_are_nothing(old: str, new: str) -> None:
    edited = CODE.replace(old, new)
    assert edited != CODE and parse_source(edited).sha256 == parse_source(CODE).sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [(" / ", " * "), ("LIMIT = 3", "LIMIT = 4"), ("len(", "sum("), ("values: list", "v: list")],
)
def test_a_changed_operator_name_or_number_is_another_code(old: str, new: str) -> None:
    assert parse_source(CODE.replace(old, new)).sha256 != parse_source(CODE).sha256


def test_strings_that_are_used_count_though_they_stand_first() -> None:
    first, second = ('def f():\n    return "a"', 'def f():\n    return "b"')
    assert parse_source(first).sha256 != parse_source(second).sha256


def test_it_covers_the_import_closure_data_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "adarank/__init__.py": "",
        "adarank/far.py": "X = 1",
        "adarank/alone.py": "Y = 1",
        "stages/__init__.py": "",
        "stages/go.py": "from adarank import far\nread('words.txt')",
        "stages/words.txt": "a b",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "closure", lambda name: closure(name, tmp_path))
    plain = fingerprint.__wrapped__

    def changed(name: str, text: str) -> bool:
        module.read_source.cache_clear()
        before = plain("stages.go")
        (tmp_path / name).write_text(text)
        module.read_source.cache_clear()
        return plain("stages.go") != before

    assert changed("adarank/far.py", "X = 2")
    assert changed("stages/words.txt", "a c")
    assert not changed("adarank/alone.py", "Y = 2")
    assert not changed("adarank/far.py", "X = 2  # two")
