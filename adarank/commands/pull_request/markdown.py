"""Markdown that shows a pull request's own words and never obeys them.

Names, values and sentences come from its files. All of them stand in code spans, in which GitHub
reads no HTML, mention, link, image or emphasis; what could end a span or a table's cell is
escaped.
"""

import re
from collections.abc import Iterable

_LONGEST = 160
_ROWS = 60


def code(value: object, longest: int = _LONGEST) -> str:
    """Put a value into a code span that it cannot leave, on one line, cut if it is long."""
    text = "".join(char if char.isprintable() else " " for char in str(value)).strip()
    text = text if len(text) <= longest else f"{text[: longest - 3]}..."
    # A bar ends a table's cell even inside a span, unless behind an odd number of backslashes.
    text = re.sub(r"(\\*)\|", lambda found: f"{found[1] * 2}\\|", text)
    if not text:
        return "-"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in (text[0], text[-1]) else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def codes(values: Iterable[object], most: int = 12) -> str:
    """List values as code spans, so many at most."""
    given = list(values)
    more = f" and {len(given) - most} more" if len(given) > most else ""
    return ", ".join(map(code, given[:most])) + more


def table(head: list[str], rows: list[list[str]]) -> str:
    """Lay out rows that are Markdown already, so many at most."""
    lines = [head, ["---"] * len(head), *rows[:_ROWS]]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    more = len(rows) - _ROWS
    return f"{text}\n\n... and {more} rows more" if more > 0 else text


def section(title: str, body: str) -> str:
    """Put a heading over a text; nothing where there is none."""
    return f"### {title}\n\n{body}" if body else ""


def number(value: float | None, sign: str = "") -> str:
    """Write a result with six digits at most."""
    return "-" if value is None else f"{value:{sign}.6g}"
