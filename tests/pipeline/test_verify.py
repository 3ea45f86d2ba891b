"""Damage to DVC's own cache is found, named and repaired; DVC itself calls it up to date."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.pipeline.closure import ROOT
from tests.pipeline.tiny import Tiny, make_tiny

pytestmark = [pytest.mark.pipeline, pytest.mark.crash]

PLAN, CURVES = "data/plans/uniform-4.json", "data/curves/uniform-4"


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_tiny(tmp_path / "tiny")


def verify(tiny: Tiny, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "adarank.commands.verify_cache", *arguments],
        cwd=tiny.path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def cached(tiny: Tiny, out: str) -> Path:
    """Where DVC's cache has an out of the first plan."""
    lock = YAML(typ="safe").load(tiny.path / "dvc.lock")
    (md5,) = [o["md5"] for o in lock["stages"]["plan@uniform-4"]["outs"] if o["path"] == out]
    return tiny.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file and leave all else of it as it was."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_sound_cache_is_said_to_be_one(tiny: Tiny) -> None:
    done = verify(tiny)
    assert done.returncode == 0
    # Two plans that say the same are one file; so are two curves, and the lists of them.
    assert done.stderr == "verify: 3 files of the cache hold what dvc.lock says\n"


@pytest.mark.parametrize("out", [PLAN, CURVES])
def test_a_flipped_bit_is_named_with_its_remedy(tiny: Tiny, out: str) -> None:
    path = cached(tiny, out)
    flip(path)
    content = path.read_bytes()
    done = verify(tiny)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    kind = Path(out).parent.name
    assert f"{path.relative_to(tiny.path)}, which is data/{kind}/" in done.stderr
    assert f"md5 {path.parent.name}{path.name}".removesuffix(".dir") in done.stderr
    assert "remedy:   make verify REPAIR=1" in done.stderr
    assert path.read_bytes() == content


def test_what_dvc_checked_out_damaged_is_made_again(tiny: Tiny) -> None:
    path, whole = cached(tiny, PLAN), (tiny.path / PLAN).read_bytes()
    flip(path)
    for plan in ("uniform-4", "disagreement-4"):
        (tiny.path / f"data/plans/{plan}.json").unlink()
    tiny.repro()
    assert (tiny.path / PLAN).read_bytes() != whole  # DVC took it at its word
    assert verify(tiny, "--repair").returncode == 0
    assert not path.exists()
    tiny.repro()
    assert (tiny.path / PLAN).read_bytes() == whole == path.read_bytes()
    assert verify(tiny).returncode == 0


def test_a_copy_that_is_whole_restores_the_cache(tiny: Tiny) -> None:
    path, whole = cached(tiny, PLAN), (tiny.path / PLAN).read_bytes()
    flip(path)
    done = verify(tiny, "--repair")
    assert done.returncode == 0 and "was damaged; restored from data/plans/" in done.stderr
    assert path.read_bytes() == whole
    assert path.stat().st_mode & 0o777 == 0o444


def test_a_damaged_list_of_a_folder_goes(tiny: Tiny) -> None:
    path = cached(tiny, CURVES)
    whole = path.read_bytes()
    flip(path)
    done = verify(tiny, "--repair")
    assert done.returncode == 0 and f"makes {CURVES} again" in done.stderr.replace(
        "disagreement", "uniform"
    )
    tiny.repro()
    assert json.loads(path.read_bytes()) == json.loads(whole)


def test_a_bit_flipped_in_the_workspace_is_seen_by_dvc_again(tiny: Tiny) -> None:
    whole = (tiny.path / PLAN).read_bytes()
    flip(tiny.path / PLAN)
    tiny.repro()
    assert (tiny.path / PLAN).read_bytes() != whole  # as old and as long as DVC knows it
    done = verify(tiny)
    assert done.returncode == 0 and f"{PLAN} is not what dvc.lock says" in done.stderr
    tiny.repro()
    assert (tiny.path / PLAN).read_bytes() == whole


def test_a_torn_lock_file_is_told_in_words(tiny: Tiny) -> None:
    lock = tiny.path / "dvc.lock"
    lock.write_text(lock.read_text()[:200])
    done = verify(tiny)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "dvc.lock" in done.stderr and "remedy" in done.stderr


def test_nothing_kept_is_no_error(tiny: Tiny) -> None:
    (tiny.path / "dvc.lock").unlink()
    assert verify(tiny).stderr == "verify: 0 files of the cache hold what dvc.lock says\n"
