"""Faults of the machine: memory, disk and signals end a stage clearly, with nothing torn."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer

from adarank.pipeline.console.reporting import reporting, telling_errors
from adarank.pipeline.files.whole import whole_folder, write_bytes

pytestmark = pytest.mark.crash


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize(
    ("stage", "setting"),
    [
        ("score-x", "score.memory_gb"),
        ("finetune-x", "finetune.batch_size"),
        ("evaluate-x", "evaluate.batch_size"),
    ],
)
def test_memory_that_does_not_suffice_names_the_setting(
    error: Exception,
    stage: str,
    setting: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.Exit) as stop, reporting(stage):
        raise error
    said = capsys.readouterr().err
    assert stop.value.exit_code == 1 and setting in said and "memory does not suffice" in said


def test_other_runtime_errors_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="shape"), telling_errors("score"):
        raise RuntimeError("shape mismatch")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_with_their_code(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(typer.Exit) as stop, telling_errors("download"):
        os.kill(os.getpid(), number)
        signal.pause()
    assert stop.value.exit_code == code
    assert (
        f"stopped by {number.name}; the same command starts from the beginning"
        in capsys.readouterr().err
    )
    assert signal.getsignal(number) is before


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_leaves_the_file_before(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small / "x"
    write_bytes(path, b"a" * 20_000)
    with pytest.raises(typer.Exit) as stop, telling_errors("score"):
        write_bytes(path, b"b" * 60_000)
    assert stop.value.exit_code == 1 and "disk is full" in capsys.readouterr().err
    assert path.read_bytes() == b"a" * 20_000 and list(small.iterdir()) == [path]


def test_a_disk_that_is_really_full_leaves_the_folder_before(small: Path) -> None:
    for size in (10_000, 60_000):
        try:
            with whole_folder(small / "cell") as working:
                (working / "weights").write_bytes(b"w" * size)
        except OSError:
            assert size == 60_000
    assert (small / "cell" / "weights").stat().st_size == 10_000
    assert [path.name for path in small.iterdir()] == ["cell"]


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    child = os.fork()
    if not child:
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        write_bytes(path, b"half")
        os._exit(1)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1 and not path.exists()
    write_bytes(path, b"whole")
    assert list(tmp_path.iterdir()) == [path]
