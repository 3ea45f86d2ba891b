"""The versions that decide results, and their comparison between machines.

It imports nothing but the standard library: it must run where all else may be missing.
"""

import json
import socket
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

_LIBRARIES = (
    "accelerate",
    "datasets",
    "numpy",
    "pandas",
    "peft",
    "pyarrow",
    "pydantic",
    "ruamel.yaml",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)


def versions_here() -> dict[str, str]:
    """Return the versions of Python and of the packages that stages use; `none` for none."""
    return {"python": python_version(), **{name: _version(name) for name in _LIBRARIES}}


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """List what has another version there than here: `torch 2.12.0, not 2.13.0`.

    Builds of one version for several devices, such as 2.13.0+cpu and 2.13.0+cu130, count as one.
    """
    return [
        f"{name} {found.get(name, 'none')}, not {wanted}"
        for name, wanted in expected.items()
        if _plain(found.get(name, "none")) != _plain(wanted)
    ]


def _plain(version: str) -> str:
    return version.partition("+")[0]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def main() -> None:
    """Print what this machine has, and whether it can use the store, as JSON."""
    report = {"host": socket.gethostname(), "versions": versions_here(), "store": None}
    try:
        from adarank.pipeline.clusters.blobs import open_blobs, try_store

        try_store(open_blobs().shelf)
    except Exception as error:
        report["store"] = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
