"""What a worker runs first needs no project there: it travels by value."""

import subprocess
import sys
from pathlib import Path

import pytest

from adarank.pipeline.clusters import bootstrap

LOAD = """
import pickle, sys
sys.modules["adarank"] = None
run = pickle.load(open(sys.argv[1], "rb"))
print(run(sys.argv[2], "0" * 64, "x", "", {}))
"""


def test_a_worker_without_the_project_runs_it(tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("cloudpickle", reason="cloudpickle comes with submitit")
    cloudpickle.register_pickle_by_value(bootstrap)
    try:
        (tmp_path / "run").write_bytes(cloudpickle.dumps(bootstrap.run_module))
    finally:
        cloudpickle.unregister_pickle_by_value(bootstrap)
    command = [sys.executable, "-c", LOAD, str(tmp_path / "run"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert '"broken": "FileNotFoundError' in done.stdout


def test_a_process_that_goes_on_is_ended_politely_first(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        f"    pathlib.Path({str(tmp_path / 'kept')!r}).touch()\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout and process.stdout.readline() == b"ready\n"
    bootstrap.stop(process)
    assert process.returncode == 143 and (tmp_path / "kept").exists()
