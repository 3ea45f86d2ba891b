"""The README's tables of strategies, tasks and parameters, told from the code.

Run: python -m adarank.commands.catalogue, which writes them into README.md.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from adarank.allocation.strategies.registry import FAMILIES, FORMS, STRATEGIES, Strategy
from adarank.tasks.catalogue import TASKS
from stages import score
from stages.check import SCHEMAS

README = Path("README.md")

Rows = Iterable[tuple[str, ...]]


def strategies() -> Rows:
    """Yield a row per strategy: its name, what it weighs by, what must be scored, its source."""
    yield "strategy", "weighs a module by", "needs", "source"
    for name, one in STRATEGIES.items():
        yield f"`{name}`", one.about, _needs(one), one.source
    for name, about in FAMILIES.items():
        yield f"`{name}`", about, "-", "this project"
    yield f"{', '.join(f'`{form}_`' for form in FORMS)} before any", *_FORMS_ABOUT


_FORMS_ABOUT = (
    "the control with the order reversed, the control with the weights permuted at random, "
    "the ranks as stated instead of scaled to the budget",
    "as the strategy",
    "",
)


def tasks() -> Rows:
    """Yield a row per task: its name, what it is about and measured by, the output scored."""
    yield "`dataset.task`", "from what to what; measured by", "`score.output: auto`"
    for name, kind in TASKS.items():
        yield f"`{name}`", kind.about, f"`{kind.output}`"


def parameters() -> Rows:
    """Yield a row per key of params.yaml, in the stages' order: its name and its meaning."""
    yield "key", "meaning"
    told: dict[str, str] = {}
    for key, meaning in (row for schema in SCHEMAS for row in _leaves(schema)):
        told.setdefault(key, meaning)
    yield from ((f"`{key}`", meaning) for key, meaning in told.items())


TABLES: dict[str, Callable[[], Rows]] = {
    "strategies": strategies,
    "tasks": tasks,
    "parameters": parameters,
}


def with_tables(readme: str) -> str:
    """Put every table between its two marks, `<!-- NAME -->` and `<!-- end of NAME -->`."""
    for name, rows in TABLES.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        table = markdown(rows())
        readme, found = marked.subn(lambda m, t=table: m[1] + t + m[2], readme)
        assert found == 1, f"{README} has no place for {name}"
    return readme


def markdown(rows: Rows) -> str:
    """Lay rows out as a Markdown table, the first its head."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def _needs(one: Strategy) -> str:
    lists = {True: "study.signals", False: "study.task_signals"}
    each = (f"`{lists[name in score.SIGNALS]}: {name}`" for name in one.signals)
    return ", ".join(each) or "-"


def _leaves(schema: type[BaseModel], above: str = "") -> Iterator[tuple[str, str]]:
    for name, field in schema.model_fields.items():
        inner, path = field.annotation, f"{above}{name}"
        if isinstance(inner, type) and issubclass(inner, BaseModel) and inner.model_fields:
            nested = inner.model_fields.get("root")
            yield from [(path, field.description or "")] if nested else _leaves(inner, f"{path}.")
        else:
            yield path, (field.description or "").rstrip(".")


def main() -> None:
    """Write the tables into README.md."""
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
