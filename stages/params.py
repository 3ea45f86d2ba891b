"""The strict loader of params.yaml; each stage brings its own schema.

YAML is read as version 1.2, so that `1e-05`, which `dvc exp run -S` writes for 0.00001,
is a number, and `no` a word.
"""

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML, YAMLError

from adarank.errors import InputError, Problem, input_error

S = TypeVar("S", bound="Slice")

Digest = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]


class Section(BaseModel):
    """A whole section of params.yaml: a key not declared here is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def contradictions(self) -> list[Problem]:
        """List what good values say against each other; a section that can overrides this."""
        return []


class Slice(BaseModel):
    """The keys one stage reads of a section that it shares with others."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


def load(schema: type[S], path: Path) -> S:
    """Read what `schema` declares from a params file.

    Args:
        schema: A Slice whose fields are the sections that the stage reads.
        path: The YAML file.

    Raises:
        InputError: Unreadable file, or every unknown, missing, wrongly typed and
            out-of-range key at once; or every contradiction between keys at once.
    """
    values = read_yaml(path)
    try:
        found = schema.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = [_problem(detail, schema, path) for detail in details]
        raise InputError(*problems) from None
    problems = _contradictions(found, path)
    if problems:
        raise InputError(*problems)
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping; InputError if it is none or cannot be read."""
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise input_error(
            "no such parameters file", where=str(path), remedy="run from the project's top folder"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise input_error(
            "not valid YAML", where=str(path), got=str(error), remedy="mend the line named"
        ) from None
    if not isinstance(values, dict):
        raise input_error(
            "not a mapping of sections",
            where=str(path),
            got=values,
            expected="model:, dataset:, ...",
        )
    return values


def key_paths(schema: type[Slice]) -> list[str]:
    """List what a schema reads, as DVC names it: `score` or `study.seeds`."""
    paths: list[str] = []
    for name, field in schema.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Slice):
            paths += [f"{name}.{key}" for key in inner.model_fields]
        else:
            paths.append(name)
    return paths


def describe(schema: type[Slice]) -> str:
    """Say in one paragraph a key what a stage reads from params.yaml, for --help."""
    lines = ["What it reads from params.yaml:"]
    for name, field in schema.model_fields.items():
        section = field.annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            continue
        lines += [
            f"{name}.{key}: {inner.description or ''}".strip()
            for key, inner in section.model_fields.items()
        ]
    return "\n\n".join(lines)


def _contradictions(found: Slice, path: Path) -> list[Problem]:
    sections = [value for _, value in found if isinstance(value, Section)]
    problems = [problem for section in sections for problem in section.contradictions()]
    return [replace(problem, where=f"{path}: {problem.where}") for problem in problems]


def _problem(detail: ErrorDetails, schema: type[Slice], path: Path) -> Problem:
    location = detail["loc"]
    where = f"{path}: {'.'.join(str(part) for part in location)}"
    if detail["type"] == "missing":
        return Problem("key missing", where, None, "a value", "add it; " + _known(schema, location))
    if detail["type"] == "extra_forbidden":
        return Problem("unknown key", where, detail["input"], "", _known(schema, location))
    return Problem("value refused", where, detail["input"], detail["msg"], "change this value")


def _known(schema: type[BaseModel], location: tuple[int | str, ...]) -> str:
    inner: Any = schema
    for part in location[:-1]:
        fields = getattr(inner, "model_fields", {})
        inner = fields[part].annotation if part in fields else None
    keys = sorted(getattr(inner, "model_fields", {}))
    near = difflib.get_close_matches(str(location[-1]), [k for k in keys if k != location[-1]], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}keys here: {', '.join(keys)}" if keys else "see the README's parameters"
