"""The strict loader of params.yaml; each stage brings its own schema.

YAML is read as version 1.2, so that `1e-05`, which `dvc exp run -S` writes for 0.00001,
is a number, and `no` a word.
"""

import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML, YAMLError

from adarank.errors import InputError, Problem, input_error

S = TypeVar("S", bound="Slice")

LARGEST = 2**63 - 1
"""The largest whole number that a key takes: what arrays and random generators can hold."""

Digest = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]


class Section(BaseModel):
    """A whole section of params.yaml: a key not declared here is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def contradictions(self) -> list[Problem]:
        """List what good values say against each other; a section that can overrides this."""
        return []


class Slice(BaseModel):
    """The keys one stage reads of a section that it shares with others."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


def load(schema: type[S], path: Path) -> S:
    """Read what `schema` declares from a params file.

    Args:
        schema: A Slice whose fields are the sections that the stage reads.
        path: The YAML file.

    Raises:
        InputError: Unreadable file, or every unknown, missing, wrongly typed and
            out-of-range key at once; or every contradiction between keys at once.
    """
    return parse(schema, read_yaml(path), path)


def parse(schema: type[S], values: dict[str, Any], path: Path) -> S:
    """Do what `load` does, with what was read of the file before."""
    try:
        found = schema.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = [_problem(detail, schema, path) for detail in details]
        raise InputError(*problems) from None
    problems = list(_unholdable(found.model_dump())) or _contradictions(found)
    if problems:
        raise InputError(*(replace(p, where=f"{path}: {p.where}") for p in problems))
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping; InputError if it is none or cannot be read."""
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise input_error(
            "no such parameters file, or none that can be read",
            where=str(path),
            got=error.strerror,
            expected="a file",
            remedy="run from the project's top folder, or name another by --params",
        ) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise input_error(
            "not valid YAML",
            where=str(path),
            got="nested too deeply" if isinstance(error, RecursionError) else str(error),
            expected="one YAML 1.2 document, in UTF-8, each key once",
            remedy="correct the line named",
        ) from None
    if not isinstance(values, dict):
        raise input_error(
            "not a mapping of sections",
            where=str(path),
            got="null" if values is None else values,
            expected="model:, tasks:, ...",
            remedy="begin from the params.yaml that the project comes with",
        )
    return values


def describe(schema: type[Slice]) -> str:
    """Describe what a stage reads from params.yaml, one paragraph a key, for --help."""
    lines = ["What it reads from params.yaml:"]
    for name, field in schema.model_fields.items():
        section, above = field.annotation, name
        root = getattr(section, "model_fields", {}).get("root")
        if root is not None and len(get_args(root.annotation)) > 1:
            section, above = get_args(root.annotation)[1], f"{name}.NAME"
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            continue
        lines += [
            f"{above}.{key}: {inner.description or ''}".strip()
            for key, inner in section.model_fields.items()
        ]
    return "\n\n".join(lines)


def _unholdable(value: Any, where: str = "") -> Iterator[Problem]:
    """What no library behind a key could take: numbers and texts beyond what it can hold."""
    if isinstance(value, dict):
        for key, inner in value.items():
            name = f"{where}.{key}" if where else f"{key}"
            yield from _unholdable(key, f"{name}, a key")
            yield from _unholdable(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _unholdable(inner, where)
    elif isinstance(value, int) and abs(value) > LARGEST:
        yield Problem("number too large", where, value, f"at most {LARGEST}", "a smaller one")
    elif isinstance(value, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
        what = "text with a NUL, or half a character"
        yield Problem(what, where, value, "text that UTF-8 can hold", "write it again")


def _contradictions(found: Slice) -> list[Problem]:
    sections = [value for _, value in found if hasattr(value, "contradictions")]
    return [problem for section in sections for problem in section.contradictions()]


def _problem(detail: ErrorDetails, schema: type[Slice], path: Path) -> Problem:
    location = detail["loc"]
    where = f"{path}: {'.'.join(str(part) for part in location)}"
    got = "null" if detail["input"] is None else detail["input"]
    keys, near = _known(schema, location)
    if detail["type"] == "missing":
        return Problem("key missing", where, "no such key", "a value", f"add it; {keys}")
    if detail["type"] == "extra_forbidden":
        hint = f"did you mean {near!r}?" if near else "remove it, or correct its name"
        return Problem("unknown key", where, got, keys, hint)
    return Problem("value refused", where, got, detail["msg"], "change this value")


def _known(schema: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, str]:
    """The keys at a place, and the nearest to the last of the location, if any is near."""
    inner: Any = schema
    for part in location[:-1]:
        fields = getattr(inner, "model_fields", {})
        inner = fields[part].annotation if part in fields else None
    keys = sorted(getattr(inner, "model_fields", {}))
    near = difflib.get_close_matches(str(location[-1]), [k for k in keys if k != location[-1]], n=1)
    keys_here = f"keys here: {', '.join(keys)}" if keys else "see docs/REFERENCE.md"
    return keys_here, next(iter(near), "")
