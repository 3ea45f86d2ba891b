"""The closure follows every import there is, and names the data files."""

from pathlib import Path

import pytest

from tests.pipeline.closure import closure

FILES = {
    "adarank/__init__.py": "",
    "adarank/deep/__init__.py": "from adarank import marker",
    "adarank/marker.py": "",
    "adarank/deep/one.py": "from . import two\nfrom ..other import x",
    "adarank/deep/two.py": "import json, numpy",
    "adarank/other.py": "x = 1",
    "adarank/alone.py": "",
    "stages/__init__.py": "",
    "stages/go.py": (
        "import os\n"
        "def run():\n"
        "    from adarank.deep.one import y\n"
        "    return open('stages/builtin/words.txt'), 'other.json is not it'\n"
    ),
    "stages/builtin/words.txt": "",
    "stages/builtin/other.json": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_imports_of_every_form_packages_and_data_are_found(root: Path) -> None:
    unneeded = {"adarank/alone.py", "stages/builtin/other.json"}
    assert closure("stages.go", root) == sorted(FILES.keys() - unneeded)


def test_a_module_alone_is_itself_and_its_packages(root: Path) -> None:
    assert closure("adarank.other", root) == ["adarank/__init__.py", "adarank/other.py"]


def test_what_takes_no_part_is_left_out_with_what_only_it_imports(root: Path) -> None:
    # `from adarank.deep.one import y` names adarank.deep.one.y too, whose file is the same.
    kept = closure("stages.go", root, without=("adarank.deep.one",))
    assert not {"adarank/deep/one.py", "adarank/deep/two.py", "adarank/other.py"} & {*kept}
    assert "stages/go.py" in kept
