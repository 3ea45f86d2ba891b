"""Loading what transformers wrote, and saying in words what it cannot read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from adarank.errors import input_error, out_of_memory

_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""What transformers raises for a damaged or foreign folder: whatever its reader stumbles over."""


@contextmanager
def loading(
    what: str, folder: Path, *, expected: str, remedy: str = "download it again"
) -> Iterator[None]:
    """Turn what a loader of transformers raises for a folder into an InputError.

    For calls into a library's loader alone: around code of our own it would hide faults.

    Args:
        what: The fault, in words: `the model cannot be loaded`.
        folder: What is loaded.
        expected: What would have been accepted.
        remedy: What to do next.

    Raises:
        InputError: The loader could not read the folder; its own error is the cause.
    """
    try:
        yield
    except _UNREADABLE as error:
        if out_of_memory(error):  # no fault of the folder's
            raise
        message = " ".join(f"{error}".split())
        package = missing_package(error, folder)
        if package:
            what, remedy = f"{what}: the package {package} is missing", f"pip install {package}"
        raise input_error(
            what,
            where=str(folder),
            got=f"{type(error).__name__}: {message}",
            expected=expected,
            remedy=remedy,
        ) from error


# How transformers and Python say that an optional package is not installed.
_MISSING = re.compile(
    r"pip install (?:-\S+ )*([A-Za-z0-9_.-]+[A-Za-z0-9])"
    r"|requires? the (?:\W+ )?([A-Za-z0-9_-]+) library"
    r"|need to install ([A-Za-z0-9_-]+)"
    r"|No module named '([A-Za-z0-9_]+)"
    r"|`([A-Za-z0-9_-]+)` is (?:required|not installed)"
)


def missing_package(error: BaseException, folder: Path) -> str | None:
    """Find the optional package whose absence an error is about.

    Args:
        error: What a loader of transformers raised.
        folder: What it read; a SentencePiece model there is named as what needs its package
            (transformers names tiktoken, which it tries last).

    Returns:
        The package's name for pip; None where the error is about something else.
    """
    found = _MISSING.search(" ".join(str(error).split()))
    if found is None:
        return None
    name = next(group for group in found.groups() if group).lower()
    pieces = any(folder.glob("*.model")) if folder.is_dir() else False
    return "sentencepiece" if name == "tiktoken" and pieces else name
