"""Which files of the project a module's code consists of, by the source alone."""

import ast
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("adarank", "stages")


@dataclass(frozen=True)
class Source:
    """What one file of Python says.

    Attributes:
        imports: Its import statements, wherever they stand.
        strings: Every string in it, docstrings too.
        sha256: The hash of its syntax tree without positions, comments, and strings that stand
            alone as docstrings do: nothing ever looks at these when the code runs.
    """

    imports: tuple[ast.Import | ast.ImportFrom, ...]
    strings: frozenset[str]
    sha256: str


def closure(module: str, root: Path = ROOT, *, without: Collection[str] = ()) -> list[str]:
    """List a module's import closure within the project, and the data files it names.

    Every import counts, also one inside a function or behind a condition: DVC cannot know when
    it runs. Importing `a.b` runs `a/__init__.py` too. A data file counts where its name or its
    path stands as a string in the code.

    Args:
        module: Its dotted name.
        root: The project's top folder.
        without: Modules that are imported but take no part; they and what only they import are
            left out.
    """
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        # `from X import f` names X.f too, whose file is X's.
        if any(name == one or name.startswith(f"{one}.") for one in without):
            continue
        for path in _files_of(name, root):
            if path not in found:
                found.add(path)
                waiting += _imports(path, root)
    data = {file for path in found for file in _data_named_in(path, root)}
    return sorted(path.relative_to(root).as_posix() for path in found | data)


Stamp = tuple[int, int, int, int] | None


def stamp(path: Path) -> Stamp:
    """Read what changes whenever a file is written or replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    # The time of the last change cannot be set back, unlike that of the last write.
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_source(path: Path) -> Source:
    """Read a file of Python; again only after it has changed."""
    return _read_source(path, stamp(path))


@cache
def _read_source(path: Path, _: Stamp) -> Source:
    return parse_source(path.read_text(encoding="utf-8"))


def parse_source(text: str) -> Source:
    """Return what Python source says."""
    tree = ast.parse(text)
    imports: list[ast.Import | ast.ImportFrom] = []
    strings: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports.append(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
    # Only now: the walk above must see docstrings.
    for node in ast.walk(tree):
        _without_lone_strings(node)
    meaning = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return Source(tuple(imports), frozenset(strings), meaning)


def _without_lone_strings(node: ast.AST) -> None:
    body = getattr(node, "body", None)
    if isinstance(body, list):
        body[:] = [statement for statement in body if not _lone_string(statement)]


def _lone_string(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


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
    for node in read_source(path).imports:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        else:
            source = _absolute(node, path, root)
            names += [source, *(f"{source}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] in PACKAGES]


def _absolute(node: ast.ImportFrom, path: Path, root: Path) -> str:
    package = path.relative_to(root).parent.parts
    above = package[: len(package) - node.level + 1] if node.level else ()
    return ".".join((*above, *filter(None, [node.module])))


def _data_named_in(path: Path, root: Path) -> list[Path]:
    named = [string.lstrip("/") for string in read_source(path).strings if "." in string]
    return [
        data
        for data in _data_files(root)
        if any(data.as_posix().endswith(f"/{name}") for name in named)
    ]


@cache
def _data_files(root: Path) -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.*"))
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
