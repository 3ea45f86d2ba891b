"""What a cluster's worker runs first: fetch the project's code, and run a module of it.

These functions travel by value, for a worker need not have the project installed, and has another
version of it if it has. So they use the standard library alone, and fsspec where the store is
behind a URL; and `run_module` returns text and raises nothing, since an error may not survive the
way back.
"""

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Mapping
from pathlib import Path


def run_module(
    store: str, code: str, module: str, text: str, environment: Mapping[str, str]
) -> str:
    """Run a module of the project's code in a folder of its own.

    Args:
        store: The scratch store: a folder or a URL.
        code: The sha256 of the code, packed, in the store.
        module: Its dotted name; it finds the text in `order.json` and prints what it returns.
        text: For the module.
        environment: Added to the worker's own.

    Returns:
        What the module printed; or, as JSON, `broken`: why it did not come to its end.
    """
    folder = Path(tempfile.mkdtemp(prefix="adarank-unit-"))
    process = None
    try:
        zipfile.ZipFile(io.BytesIO(packed(store, code))).extractall(folder)
        (folder / "order.json").write_text(text, encoding="utf-8")
        with (folder / "stderr").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=folder,
                env={**os.environ, **environment, "PYTHONPATH": ""},
                stdout=subprocess.PIPE,
                stderr=errors,
                # A group of its own, which is stopped as a whole.
                start_new_session=True,
            )
            printed = process.communicate()[0].decode()
        if process.returncode == 0:
            return printed
        said = (folder / "stderr").read_text(errors="replace")[-4000:]
        why = f"{module} ended with exit code {process.returncode}\n{said}"
    except KeyboardInterrupt:
        why = "cancelled"
    except BaseException as error:
        why = "".join(traceback.format_exception_only(error))
    finally:
        if process is not None:
            stop(process)
        shutil.rmtree(folder, ignore_errors=True)
    return json.dumps({"broken": why.strip(), "host": socket.gethostname()})


def packed(store: str, code: str) -> bytes:
    """Fetch the packed code from the store, checked."""
    if "://" in store:
        import fsspec.core  # A store in a folder needs nothing but Python.

        system, top = fsspec.core.url_to_fs(store, use_listings_cache=False)
        data: bytes = system.cat_file(f"{top}/files/{code}")
    else:
        data = (Path(store) / "files" / code).read_bytes()
    if hashlib.sha256(data).hexdigest() != code:
        raise OSError(f"{store}/files/{code} is damaged")
    return data


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its group, if it still runs."""
    # Politely first: a stage keeps what it has finished.
    for number, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
