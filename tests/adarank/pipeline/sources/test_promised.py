"""What the hub promises of a file's bytes, compared without holding the file."""

import shutil
import subprocess
import tracemalloc

import pytest

from adarank.pipeline.sources import promised

MIB = 2**20


@pytest.mark.skipif(shutil.which("git") is None, reason="git computes the expected ids")
@pytest.mark.parametrize("size", [0, 5, MIB - 1, MIB, 2 * MIB + 3])
def test_a_small_files_id_is_gits(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(bytes(index % 251 for index in range(size)))
    command = ["git", "hash-object", "--no-filters", str(path)]
    wanted = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    promise = promised.Promise(size, blob_id=wanted)
    assert promised._difference(path, promise) is None
    path.write_bytes(path.read_bytes() + b"x")
    assert promised._difference(path, promise) is not None


def test_a_file_is_never_held_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 16 * MIB)
    tracemalloc.start()
    try:
        promised._blob_id(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB
