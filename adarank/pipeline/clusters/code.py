"""The project's code as one file that travels: the same bytes for the same code."""

import hashlib
import io
import re
import zipfile
from functools import cache
from pathlib import Path

from adarank.errors import input_error
from adarank.pipeline.scratch.closure import PACKAGES, ROOT
from adarank.pipeline.scratch.fingerprint import edited, fingerprint

_EPOCH = (1980, 1, 1, 0, 0, 0)


def packed_code(root: Path = ROOT) -> tuple[bytes, str]:
    """Pack the project's packages into a zip file; returns it and its sha256.

    Raises:
        InputError: The code was edited since this process began.
    """
    packed = _packed(root)
    # Whenever it is asked for: other stages may have been sent long ago.
    if edited():
        raise input_error(
            "the code was edited since this began",
            where=str(root),
            remedy="run the same command again",
        )
    return packed


@cache
def _packed(root: Path) -> tuple[bytes, str]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in PACKAGES:
            for path in sorted((root / package).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    name = path.relative_to(root).as_posix()
                    archive.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes())
    data = packed.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def code_of(command: str) -> str:
    """Fingerprint the code that a command runs: a stage's own, or else all that is packed."""
    module = re.search(r"-m (stages\.\w+)", command)
    return fingerprint(module[1]) if module else packed_code()[1]
