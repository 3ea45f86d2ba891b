"""Which files of the project a stage's code consists of, told from the source alone.

`python -m tests.pipeline.closure` writes them into dvc.yaml's deps, `... score` prints one's.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("adarank", "stages")


def closure(module: str, root: Path = ROOT) -> list[str]:
    """List a module's import closure within the project, and the data files it names.

    Every import counts, also one inside a function or behind a condition: DVC cannot know when
    it runs. Importing `a.b` runs `a/__init__.py` too. A data file counts where its name or its
    path stands as a string in the code.
    """
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        for path in _files_of(waiting.pop(), root):
            if path not in found:
                found.add(path)
                waiting += _imports(path, root)
    data = {file for path in found for file in _data_named_in(path, root)}
    return sorted(path.relative_to(root).as_posix() for path in found | data)


def _files_of(module: str, root: Path) -> Iterator[Path]:
    """Yield the file of a module and the __init__.py of every package above it."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:length])
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                yield path


def _imports(path: Path, root: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, path, root)
            names += [source, *(f"{source}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] in PACKAGES]


def _absolute(node: ast.ImportFrom, path: Path, root: Path) -> str:
    package = path.relative_to(root).parent.parts
    above = package[: len(package) - node.level + 1] if node.level else ()
    return ".".join((*above, *filter(None, [node.module])))


def _data_named_in(path: Path, root: Path) -> list[Path]:
    strings = {
        node.value
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return [
        data
        for data in _data_files(root)
        if any(data.as_posix().endswith(f"/{s.lstrip('/')}") for s in strings if "." in s)
    ]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _data_files(root: Path) -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.*"))
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]


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
