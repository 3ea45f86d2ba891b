"""The tables of docs/REFERENCE.md are the code's."""

from pathlib import Path

from adarank.allocation.strategies.registry import STRATEGIES
from adarank.commands.catalogue import TABLES, markdown, with_tables
from adarank.tasks.catalogue import TASKS

REFERENCE = Path(__file__).parents[3] / "docs/REFERENCE.md"


def test_the_page_is_up_to_date() -> None:
    page = REFERENCE.read_text(encoding="utf-8")
    assert with_tables(page) == page, "python -m adarank.commands.catalogue writes its tables"


def test_every_strategy_task_and_parameter_has_a_meaning() -> None:
    for name, rows in TABLES.items():
        assert [row[0] for row in rows() if not all(cell.strip() for cell in row[:2])] == [], name
    named = markdown(TABLES["strategies"]()) + markdown(TABLES["tasks"]())
    for name in (*STRATEGIES, *TASKS):
        assert f"| `{name}` | " in named


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert markdown([("a", "b"), ("|x|", "")]) == "| a | b |\n| --- | --- |\n| \\|x\\| | |\n"
