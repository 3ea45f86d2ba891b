"""The code's part of every stage's deps in dvc.yaml: its import closure.

`python -m tests.pipeline.closure` writes them into dvc.yaml's deps, `... score` prints one's.
"""

import re
import sys
from pathlib import Path

from adarank.pipeline.scratch.closure import ROOT, closure


def with_code_deps(pipeline: str, root: Path = ROOT) -> str:
    """Rewrite the code among each stage's deps in a dvc.yaml; all else stays as it is."""
    stages = re.split(r"(?m)^(?=  [a-z_]+:$)", pipeline)
    return "".join(_with_own_deps(stage, root) for stage in stages)


def _with_own_deps(stage: str, root: Path) -> str:
    found = re.search(r"python -m (stages\.\w+)", stage)
    if not found:
        return stage
    code = re.compile(r"(?m)^( +- )(?:adarank|stages)/.*\n")
    first = code.search(stage)
    lines = "".join(f"{first[1]}{path}\n" for path in closure(found[1], root)) if first else ""
    at = first.start() if first else 0
    return stage[:at] + lines + code.sub("", stage[at:])


def main(names: list[str]) -> None:
    """Print the deps of some stages, or write those of all."""
    for name in names:
        sys.stdout.writelines(f"- {path}\n" for path in closure(f"stages.{name}"))
    if not names:
        pipeline = ROOT / "dvc.yaml"
        pipeline.write_text(with_code_deps(pipeline.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
