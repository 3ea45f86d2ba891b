"""The fingerprint follows what code does, and nothing else that is written in it."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adarank.pipeline.scratch.closure import ROOT, closure, parse_source
from adarank.pipeline.scratch.fingerprint import Code

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


@pytest.fixture
def root(tmp_path: Path) -> Path:
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
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "changed"),
    [
        ("adarank/far.py", "X = 2", True),
        ("adarank/far.py", "X = ", True),
        ("stages/words.txt", "a c", True),
        ("adarank/alone.py", "Y = 2", False),
        ("adarank/far.py", "X = 1  # one", False),
        ("adarank/far.py", "X = 1", False),
    ],
)
def test_it_covers_the_import_closure_data_included(
    name: str, text: str, changed: bool, root: Path
) -> None:
    code = Code("stages.go", root)
    assert not code.edited()
    (root / name).write_text(text)
    assert code.edited() == changed
    assert code.edited() == changed, "the answer stays"
    if text != "X = ":
        assert (Code("stages.go", root).sha256 != code.sha256) == changed


def test_a_file_that_has_gone_is_an_edit_and_one_put_back_is_none(root: Path) -> None:
    code = Code("stages.go", root)
    far = root / "adarank/far.py"
    far.unlink()
    assert code.edited()
    far.write_text("X = 1")
    assert not code.edited()


def test_an_edit_of_the_same_size_with_its_time_put_back_is_found(root: Path) -> None:
    far = root / "adarank/far.py"
    before = far.stat()
    code = Code("stages.go", root)
    far.write_text("X = 2")
    os.utime(far, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert code.edited()


GO = """
from adarank.pipeline.scratch.fingerprint import fingerprint
from pathlib import Path

# isort: split
{importing}
from adarank.edited import X
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.entry import Entry
from adarank.pipeline.scratch.store import make_key, open_store
import torch

key = make_key("seed", "seed 0", **surroundings(fingerprint("stages.go"), torch.device("cpu")))
store = open_store()
{running}
store.put(key, Entry(note=X))
print(store.has(key), X)
"""
EDIT = "Path('adarank/edited.py').write_text('X = 2')"
COMMENT = "Path('adarank/edited.py').write_text('X = 1  # one')"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edited")
    unwanted = shutil.ignore_patterns("__pycache__", "report", "builtin")
    shutil.copytree(ROOT / "adarank", folder / "adarank", ignore=unwanted)
    (folder / "stages").mkdir()
    (folder / "stages/__init__.py").write_text("")
    return folder


@pytest.mark.parametrize(
    ("importing", "running", "printed", "said"),
    [
        ("", "", "True 1", ""),
        ("", COMMENT, "True 1", ""),
        (COMMENT, "", "True 1", ""),
        # The new code runs, and must not be kept under the old code's key; and the reverse.
        (EDIT, "", "False 2", "edited while this was starting"),
        ("", EDIT, "False 1", "seed 0: the code was edited while this was running"),
    ],
)
def test_what_code_made_that_was_edited_meanwhile_is_not_stored(
    importing: str, running: str, printed: str, said: str, project: Path, tmp_path: Path
) -> None:
    (project / "adarank/edited.py").write_text("X = 1")
    (project / "stages/go.py").write_text(GO.format(importing=importing, running=running))
    done = subprocess.run(
        [sys.executable, "-m", "stages.go"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project), "ADARANK_SCRATCH": str(tmp_path / "scratch")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == printed
    assert (said in done.stderr) if said else done.stderr == ""
    assert done.stderr.count("\n") <= 1


FIRST = "from adarank.pipeline.scratch.fingerprint import fingerprint"


def test_every_stage_that_stores_hashes_its_code_before_it_reads_it() -> None:
    stages = sorted((ROOT / "stages").glob("*.py"))
    storing = [
        path
        for path in stages
        if "pipeline/scratch/store.py" in "".join(closure(f"stages.{path.stem}"))
    ]
    assert len(storing) >= 4
    for path in storing:
        imports = [
            node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        assert ast.unparse(imports[0]) == FIRST, path
