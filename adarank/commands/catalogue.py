"""The tables of strategies, types of task and parameters in docs/REFERENCE.md, from the code.

Run: python -m adarank.commands.catalogue, which writes them.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from adarank.allocation.starts import SIGNALS as START_SIGNALS
from adarank.allocation.strategies.registry import (
    FAMILIES,
    FORMS,
    STRATEGIES,
    TRAINED_FORMS,
)
from adarank.allocation.strategies.strategy import Strategy
from adarank.pipeline.params.signal import SIGNALS
from adarank.pipeline.params.tasks import TaskSection
from adarank.pipeline.params.whole import WholeParams
from adarank.tasks.catalogue import TASKS

REFERENCE = Path("docs/REFERENCE.md")

Rows = Iterable[tuple[str, ...]]


def strategies() -> Rows:
    """Yield a row per strategy: its name, what it weighs by, what must be scored, its source."""
    yield "strategy", "weighs a module by", "needs", "source"
    for name, one in STRATEGIES.items():
        yield f"`{name}`", one.about, _needs(one), one.source
    for name, about in FAMILIES.items():
        yield f"`{name}`", about, "-", "this project"
    yield f"{', '.join(f'`{form}_`' for form in FORMS)} before any", *_FORMS_ABOUT
    for form, about in TRAINED_FORMS.items():
        signal = next((s for start, s in START_SIGNALS.items() if form == f"{start}_start"), None)
        needs = f"also `study.task_signals: {signal}`" if signal else "as the strategy"
        yield f"`{form}_` before any that LoRA trains", f"the same ranks; {about}", needs, ""


_FORMS_ABOUT = (
    "the control with the order reversed, the control with the weights permuted at random, "
    "the ranks as stated instead of scaled to the budget",
    "as the strategy",
    "",
)


def tasks() -> Rows:
    """Yield a row per type of task: its name, what it is about and measured by."""
    yield "`tasks.NAME.type`", "from what to what; measured by"
    for name, kind in TASKS.items():
        yield f"`{name}`", kind.about


def parameters() -> Rows:
    """Yield a row per key of params.yaml: its name, its default and its meaning."""
    yield "key", "default", "meaning"
    sections = {n: f.annotation for n, f in WholeParams.model_fields.items() if n != "tasks"}
    sections["tasks.NAME"] = TaskSection
    for name, annotation in sections.items():
        # A section that may be left out is a union with None.
        for section in get_args(annotation) or (annotation,):
            if isinstance(section, type) and issubclass(section, BaseModel):
                yield from _leaves(section, f"{name}.")


TABLES: dict[str, Callable[[], Rows]] = {
    "strategies": strategies,
    "tasks": tasks,
    "parameters": parameters,
}


def with_tables(page: str) -> str:
    """Put every table between its two marks, `<!-- NAME -->` and `<!-- end of NAME -->`."""
    for name, rows in TABLES.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        table = markdown(rows())
        page, found = marked.subn(lambda m, t=table: m[1] + t + m[2], page)
        assert found == 1, f"{REFERENCE} has no place for {name}"
    return page


def markdown(rows: Rows) -> str:
    """Lay rows out as a Markdown table, the first its head."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def _needs(one: Strategy) -> str:
    lists = {True: "study.signals", False: "study.task_signals"}
    each = (f"`{lists[name in SIGNALS]}: {name}`" for name in one.signals)
    return ", ".join(each) or "-"


def _leaves(schema: type[BaseModel], above: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in schema.model_fields.items():
        inner, path = field.annotation, f"{above}{name}"
        about = (field.description or "").rstrip(".")
        if name == "root":
            yield f"`{above.rstrip('.')}`", "`{}`", "definitions by name; see the strategies above"
        elif not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            default = "needed" if field.is_required() else f"`{json.dumps(field.default)}`"
            yield f"`{path}`", default, about
        elif "Overrides" in inner.__name__:
            yield f"`{path}`", "`{}`", about
        else:
            yield from _leaves(inner, f"{path}.")


def main() -> None:
    """Write the tables into docs/REFERENCE.md."""
    REFERENCE.write_text(with_tables(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
