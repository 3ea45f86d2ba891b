"""Loading what transformers wrote, and telling what it cannot read."""

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
        told = " ".join(f"{error}".split())
        raise input_error(
            what,
            where=str(folder),
            got=f"{type(error).__name__}: {told}",
            expected=expected,
            remedy=remedy,
        ) from error
