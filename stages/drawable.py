"""Records in a form that DVC can draw."""

from typing import Any


def drawable(value: Any) -> Any:
    """Put null for every empty list: DVC 3 draws nothing of a JSON file that has one in it."""
    if isinstance(value, dict):
        return {key: drawable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [drawable(inner) for inner in value] or None
    return value
