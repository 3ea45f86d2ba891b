"""A hash of a stage's code that an edit of comments, docstrings or layout leaves as it is.

Python reads a source file when it is imported, and never again. So a stage imports this module
before anything else: importing it hashes the code of the program that is starting, in a fifth of a
second, before torch and the rest of the project are read. `edited` says later whether the files
still say the same. An edit that is made and undone while imports run is the one thing not noticed.
"""

import hashlib
import sys
from pathlib import Path

from adarank.pipeline.scratch.closure import ROOT, Stamp, closure, read_source, stamp


class Code:
    """The source of a module's import closure, as it was when this object was made.

    Args:
        module: The module's dotted name, such as `stages.score`.
        root: The folder that holds the project's packages.
        without: Modules that it imports and that take no part in what is fingerprinted.

    Attributes:
        sha256: The hash of what the files mean: of a Python file its syntax tree counts (see
            `closure.Source`), of a data file every byte.
    """

    def __init__(self, module: str, root: Path = ROOT, without: tuple[str, ...] = ()):
        self._module, self._root, self._without = module, root, without
        self.sha256, self._stamps = self._read()

    def edited(self) -> bool:
        """Whether the files on disk now mean something else."""
        # The usual case, in which nothing was touched, costs a stat per file.
        if self._stamps == {path: stamp(path) for path in self._stamps}:
            return False
        try:
            sha256, stamps = self._read()
        except (OSError, SyntaxError, ValueError):
            return True  # somebody is at it
        if sha256 == self.sha256:
            self._stamps = stamps
        return sha256 != self.sha256

    def _read(self) -> tuple[str, dict[Path, Stamp]]:
        paths = [
            self._root / name for name in closure(self._module, self._root, without=self._without)
        ]
        # Stamps first: an edit between the two then shows as a stamp that has changed.
        stamps = {path: stamp(path) for path in paths}
        lines = [f"{p.relative_to(self._root).as_posix()} {_meaning(p)}\n" for p in paths]
        return hashlib.sha256("".join(lines).encode()).hexdigest(), stamps


_codes: dict[tuple[str, tuple[str, ...]], Code] = {}


def fingerprint(module: str, *, without: tuple[str, ...] = ()) -> str:
    """Hash the code of a module as this process first saw it.

    Args:
        module: The module's dotted name, such as `stages.score`.
        without: Modules that it imports and that take no part, such as other signals.
    """
    if (module, without) not in _codes:
        _codes[module, without] = Code(module, without=without)
    return _codes[module, without].sha256


def edited() -> list[str]:
    """List the modules fingerprinted by this process whose code has been edited since."""
    return [module for (module, _), code in _codes.items() if code.edited()]


def _meaning(path: Path) -> str:
    if path.suffix == ".py":
        return read_source(path).sha256
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _program() -> str:
    """Name the module that `python -m` is starting; empty for a script or a console."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else ""


if _program().startswith("stages."):
    fingerprint(_program())
