"""Files that are whole or absent: temporary name, fsync, rename; and their hashes."""

import errno
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from adarank.errors import InputError, Problem, input_error
from adarank.pipeline.files import hashes
from adarank.pipeline.files.hashes import sha256 as sha256
from adarank.pipeline.files.temporary import temporary_beside

_REMAKE = "delete it and run `dvc repro`, which restores or remakes it"


class Record(BaseModel):
    """What is read of a JSON file of ours; other entries are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file so that no reader ever sees half of it: it takes its name when it is synced."""
    with temporary_beside(path, folder=False) as working:
        with working.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        working.chmod(0o644)
        working.replace(path)
    _sync(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of these bytes, whole or not at all."""
    with whole_file(path) as stream:
        stream.write(data)


def _sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # Not every file system can sync a folder.
            raise
    finally:
        os.close(handle)


def write_json(path: Path, value: object) -> None:
    """Write JSON with sorted keys, two spaces and a final newline; refuses NaN."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


EMPTY_AS_NULL = BeforeValidator(lambda value: () if value is None else value)
"""Reads a list that `write_drawable` wrote."""


def write_drawable(path: Path, value: object) -> None:
    """Write JSON with null for every empty list: DVC 3 draws no JSON that has one in it."""
    write_json(path, _drawable(value))


def _drawable(value: object) -> object:
    if isinstance(value, dict):
        return {key: _drawable(inner) for key, inner in value.items()}
    return ([_drawable(inner) for inner in value] or None) if isinstance(value, list) else value


def read_json(path: Path) -> Any:
    """Read a JSON file; InputError if it is absent or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise absent_error(path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged_error(path, error, "JSON, in UTF-8") from None


def read_record(path: Path, form: type[Record]) -> dict[str, Any]:
    """Read a JSON file of ours; InputError if it is absent, torn or not of the form."""
    value = read_json(path)
    try:
        form.model_validate(value)
    except ValidationError as error:
        raise InputError(
            *(
                Problem(
                    "not what the stage before writes",
                    f"{path}: {'.'.join(str(part) for part in detail['loc']) or 'the whole'}",
                    "null" if detail["input"] is None else detail["input"],
                    detail["msg"],
                    _REMAKE,
                )
                for detail in error.errors(include_url=False)
            )
        ) from None
    return value


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name; it takes its own name only when complete."""
    with temporary_beside(path, folder=True) as working:
        yield working
        for file in working.rglob("*"):
            _sync(file)
        working.chmod(0o755)
        with temporary_beside(path, folder=True) as aside:
            if path.exists():
                # Not removed where it is: killed meanwhile, half of it would bear the name.
                path.replace(aside)
            working.replace(path)
    _sync(path.parent)


def folder_sha256(folder: Path, names: Collection[str] | None = None) -> str:
    """Hash a folder, or the files of it named; InputError without any. See `hashes`."""
    found = hashes.folder_sha256(folder, names)
    if found is None:
        raise absent_error(folder)
    return found


def absent_error(path: Path) -> Exception:
    """Describe a file that the stage before should have written."""
    return input_error(
        "file not found",
        where=str(path),
        got="nothing there",
        expected="what the stage before writes",
        remedy="run `dvc repro` to make it",
    )


def damaged_error(path: Path, error: Exception, expected: str) -> Exception:
    """Describe a file of ours that cannot be read."""
    return input_error(
        "file damaged or of another format",
        where=str(path),
        got=f"{getattr(error, 'strerror', None) or error}",
        expected=expected,
        remedy=_REMAKE,
    )
