"""The README's table of parameters, made from the stages' schemas.

Run: python -m tests.readme, and put what it prints in the README's place.
"""

from collections.abc import Iterator

from pydantic import BaseModel

from stages.check import SCHEMAS


def parameter_table() -> str:
    """The table's Markdown: every key of params.yaml with its description."""
    rows: dict[str, str] = {}
    for schema in SCHEMAS:
        rows |= dict(_keys(schema, ""))
    lines = [f"| `{key}` | {meaning} |" for key, meaning in rows.items()]
    return "\n".join(["| key | meaning |", "| --- | --- |", *lines])


def _keys(schema: type[BaseModel], above: str) -> Iterator[tuple[str, str]]:
    for name, field in schema.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{above}{name}.")
        else:
            yield f"{above}{name}", (field.description or "").rstrip(".")


if __name__ == "__main__":
    print(parameter_table())
