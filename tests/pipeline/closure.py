"""The code's part of every stage's deps in dvc.yaml: the rooms that its import closure lies in.

`python -m tests.pipeline.closure` writes them into dvc.yaml's deps, `... score` prints one's.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from adarank.pipeline.scratch.closure import ROOT, closure


def rooms(module: str, root: Path = ROOT) -> list[str]:
    """List the fewest rooms, and files that lie in none, that hold a module's import closure.

    An `__init__.py` that holds a docstring alone decides nothing, and is left out.
    """
    by_room: dict[str, list[str]] = {}
    for path in closure(module, root):
        if not _empty(root / path):
            by_room.setdefault(room_of(path, module), []).append(path)
    # One or two files of a room do not make a stage depend on all of it.
    few = {room: files for room, files in by_room.items() if len(files) <= FEW}
    return sorted({*(by_room.keys() - few.keys()), *(f for files in few.values() for f in files)})


FEW = 2


QUICK = ("stages.allocate", "stages.summarize", "stages.report", "stages.best")
"""Stages that take seconds: they may as well rerun for an edit anywhere in adarank/pipeline."""

WHOLE = ("stages.merge", "stages.evaluate_merged")
"""Stages that use nearly every room: they rerun for an edit anywhere, and the scratch store answers
by the files that they do use."""


def room_of(path: str, module: str = "") -> str:
    """Name a file's room, as a stage depends on it: adarank/ROOM or adarank/pipeline/ROOM, coarser
    for some stages, or the file itself."""
    parts = Path(path).parts
    inside = parts[:2] == ("adarank", "pipeline") and module not in QUICK
    depth = 1 if module in WHOLE else 3 if inside else 2
    return "/".join(parts[:depth]) if parts[0] == "adarank" else path


def covered(path: str, deps: Iterable[str]) -> bool:
    """Whether a file is one of these deps, or lies in one of them."""
    return any(path == dep or path.startswith(f"{dep}/") for dep in deps)


def with_code_deps(pipeline: str, root: Path = ROOT) -> str:
    """Rewrite the code among each stage's deps in a dvc.yaml; all else stays as it is."""
    stages = re.split(r"(?m)^(?=  [a-z_]+:$)", pipeline)
    return "".join(_with_own_deps(stage, root) for stage in stages)


def _with_own_deps(stage: str, root: Path) -> str:
    found = re.search(r"python -m (stages\.\w+)", stage)
    if not found:
        return stage
    code = re.compile(r"(?m)^( +- )(?:adarank|stages)(?:/.*)?\n")
    first = code.search(stage)
    lines = "".join(f"{first[1]}{path}\n" for path in rooms(found[1], root)) if first else ""
    at = first.start() if first else 0
    return stage[:at] + lines + code.sub("", stage[at:])


def _empty(path: Path) -> bool:
    lines = path.read_text("utf-8") if path.name == "__init__.py" else "code"
    return re.fullmatch(r'\s*(""".*?""")?\s*', lines, re.DOTALL) is not None


def main(names: list[str]) -> None:
    """Print the deps of some stages, or write those of all."""
    for name in names:
        sys.stdout.writelines(f"- {path}\n" for path in rooms(f"stages.{name}"))
    if not names:
        pipeline = ROOT / "dvc.yaml"
        pipeline.write_text(with_code_deps(pipeline.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
