"""A hash of a stage's code that an edit of comments, docstrings or layout leaves as it is."""

import hashlib
from functools import cache

from adarank.pipeline.files.whole import sha256
from adarank.pipeline.scratch.closure import ROOT, closure, read_source


@cache
def fingerprint(module: str) -> str:
    """Hash what a module's import closure says, file by file.

    Of a Python file its syntax tree counts (see `Source`), of a data file every byte.

    Args:
        module: The module's dotted name, such as `stages.score`.
    """
    lines = [f"{name} {_meaning(name)}\n" for name in closure(module)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _meaning(name: str) -> str:
    path = ROOT / name
    return read_source(path).sha256 if path.suffix == ".py" else sha256(path)
