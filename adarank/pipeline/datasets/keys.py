"""How messages name the keys of a dataset's section of params.yaml."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SECTION: ContextVar[str] = ContextVar("section", default="dataset")


def key(name: str) -> str:
    """Name a key by its whole path.

    >>> key("text_key")
    'dataset.text_key'
    """
    return f"{_SECTION.get()}.{name}"


def section() -> str:
    """Name the section itself."""
    return _SECTION.get()


@contextmanager
def section_named(name: str) -> Iterator[None]:
    """Make messages from inside name the section's keys below another path.

    >>> with section_named("tasks.reviews"):
    ...     key("text_key")
    'tasks.reviews.text_key'
    """
    token = _SECTION.set(name)
    try:
        yield
    finally:
        _SECTION.reset(token)
