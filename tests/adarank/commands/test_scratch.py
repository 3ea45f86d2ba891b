"""`adarank scratch`: what it lists, what it removes, and what it leaves alone."""

import os
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from adarank.commands.app import app
from adarank.pipeline.scratch.entry import Entry
from adarank.pipeline.scratch.store import Store, make_key

OLD, NEW = make_key("seed", "finetune uniform-4, seed 0", x=1), make_key("scores", "score exact")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    folder = tmp_path / "scratch"
    monkeypatch.setenv("ADARANK_SCRATCH", str(folder))
    store = Store(folder)
    for key in (OLD, NEW):
        store.put(key, Entry({"a": torch.zeros(1000)}))
    week_ago = time.time() - 8 * 86400
    os.utime(folder / "seed" / OLD.digest, (week_ago, week_ago))
    return store


def scratch(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["scratch", *arguments])


@pytest.mark.usefixtures("store")
def test_it_lists_kind_size_age_and_whose() -> None:
    lines = scratch().output.splitlines()
    assert len(lines) == 3
    assert lines[0].split()[0] == "scores" and lines[0].endswith("score exact")
    assert lines[1].startswith("seed") and "KiB" in lines[1] and " 8d " in lines[1]
    assert lines[2].startswith("2 entries")


def test_it_prunes_what_is_older(store: Store) -> None:
    assert "1 entries removed" in scratch("prune", "--older-than", "7d").output
    assert not store.has(OLD) and store.has(NEW)


def test_it_never_removes_what_is_held(store: Store) -> None:
    with store.held(NEW):
        result = scratch("prune", "--all")
    assert "1 kept, for a running stage holds them" in result.output
    assert not store.has(OLD) and store.has(NEW)
    scratch("prune", "--all")
    assert not store.has(NEW)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "arguments", [[], ["--all", "--older-than", "7d"], ["--older-than", "soon"]]
)
def test_what_is_to_go_must_be_said(arguments: list[str]) -> None:
    assert scratch("prune", *arguments).exit_code == 2


def test_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADARANK_SCRATCH", "off")
    result = scratch()
    assert result.exit_code == 2 and "switched off" in result.output


def test_what_travels_to_other_machines_is_listed_and_pruned(store: Store) -> None:
    assert store.folder is not None
    path = store.folder / "files" / "abc"
    path.parent.mkdir()
    path.write_bytes(b"any bytes")
    path.chmod(0o444)
    assert scratch().output.startswith("files")
    assert "damaged" not in scratch().output
    scratch("prune", "--all")
    assert not path.exists()


def test_a_store_behind_a_url_is_left_to_its_own_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADARANK_SCRATCH", "s3://bucket/prefix")
    result = scratch("prune", "--all")
    assert result.exit_code == 2 and "lifecycle rule" in result.output
