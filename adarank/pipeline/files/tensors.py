"""Safetensors files, read with a clean error where they are damaged."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from adarank.errors import input_error


@contextmanager
def open_tensors(path: Path, *, expected: str, remedy: str) -> Iterator[Any]:
    """Open a file of tensors; what is read inside may fail as opening may.

    Args:
        path: A safetensors file.
        expected: What should be there, for the error.
        remedy: What to do about a damaged one.

    Raises:
        InputError: No such file, a damaged one, or no such tensor.
    """
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise input_error(
            "the file is damaged",
            where=str(path),
            got=" ".join(str(error).split()),
            expected=expected,
            remedy=remedy,
        ) from None
