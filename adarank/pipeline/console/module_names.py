"""Module names short enough for a terminal: without the part that all of them share."""

from collections.abc import Sequence
from itertools import takewhile


def shared_prefix(names: Sequence[str]) -> str:
    """Find the dotted prefix, its last dot included, that all names begin with; often none.

    Example:
        >>> shared_prefix(["bert.layer.0.query", "bert.layer.1.query"])
        'bert.layer.'
        >>> shared_prefix(["q"])
        ''
    """
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    alike = takewhile(lambda parts: len(set(parts)) == 1, columns)
    return "".join(f"{parts[0]}." for parts in alike)


def heading(names: Sequence[str]) -> str:
    """Name the column of modules shown without what they share: `module, below bert.layer`."""
    prefix = shared_prefix(names).removesuffix(".")
    return f"module, below {prefix}" if prefix else "module"
