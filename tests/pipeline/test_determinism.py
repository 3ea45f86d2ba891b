"""Two runs from nothing, in surroundings that differ in all that should not matter: equal bytes."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.pipeline.conftest import SURROUNDINGS, Run
from tests.pipeline.project import Project

pytestmark = [pytest.mark.pipeline, pytest.mark.determinism]


def test_the_surroundings_differ_in_everything(runs: list[Run]) -> None:
    one, other = (run.project for run in runs)
    keys = {"PYTHONHASHSEED", "TZ", "LC_ALL"}
    assert keys <= {k for k in one.environment if one.environment[k] != other.environment[k]}
    assert one.umask != other.umask
    assert one.path.is_relative_to(one.path.parents[1] / SURROUNDINGS[0].folder)
    assert " " in other.path.parent.name and not other.path.parent.name.isascii()


def test_every_hash_in_the_lock_is_the_same(first: Run, second: Run) -> None:
    one, other = (hashes(run.project) for run in (first, second))
    assert len(one) > len(first.ran), "a hash for each dependency and output of each stage"
    assert one == other
    assert first.project.lock() == second.project.lock()


@pytest.mark.parametrize("folder", ["data", "metrics"])
def test_every_byte_written_is_the_same(first: Run, second: Run, folder: str) -> None:
    one, other = (contents(run.project.path / folder) for run in (first, second))
    assert one and one == other


def test_no_byte_written_tells_where_it_was_written(first: Run) -> None:
    own = str(first.project.path).encode()
    written = [contents(first.project.path / folder) for folder in ("data", "metrics")]
    assert not [name for files in written for name, data in files.items() if own in data]


def hashes(project: Project) -> dict[str, str]:
    """Every hash of dvc.lock, by stage and path."""
    lock = YAML(typ="safe").load(project.lock())
    return {
        f"{stage} {kind} {part['path']}": part["md5"]
        for stage, entry in lock["stages"].items()
        for kind in ("deps", "outs")
        for part in entry.get(kind, ())
    }


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".gitignore")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
