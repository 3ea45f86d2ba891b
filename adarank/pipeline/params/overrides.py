"""A section of which any part may be given, to override another's values."""

from typing import Annotated, Any, TypeVar

from pydantic import Field, create_model

from adarank.pipeline.params.loader import Section

S = TypeVar("S", bound=Section)


def overrides_of(section: type[Section]) -> type[Section]:
    """Make the schema of some of a section's keys: the same checks, and none is needed.

    Args:
        section: The whole section.

    Returns:
        A schema that refuses unknown keys and bad values as `section` does.
    """
    fields: dict[str, Any] = {
        # The default is never read: only keys that were given override.
        name: (Annotated[field.rebuild_annotation(), Field(description=field.description)], None)
        for name, field in section.model_fields.items()
    }
    return create_model(f"{section.__name__}Overrides", __base__=Section, **fields)


def overridden(section: S, overrides: Section) -> S:
    """Replace the values of a section that `overrides` gives.

    Args:
        section: The values for all tasks.
        overrides: One task's own, of the schema that `overrides_of` makes.

    Returns:
        The section with the given values in place.
    """
    given = {name: getattr(overrides, name) for name in overrides.model_fields_set}
    return section.model_copy(update=given)
