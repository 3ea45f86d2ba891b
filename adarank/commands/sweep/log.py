"""What a command of DVC printed: which stages ran, and a failed one's own words."""

import re
from collections import Counter
from typing import Literal

Happened = Literal["ran", "restored", "unchanged"]

_SIGNS: dict[Happened, str] = {
    "ran": r"^Running stage '([^']+)'",
    "restored": r"^Stage '([^']+)' is cached - skipping run",
    "unchanged": r"^Stage '([^']+)' didn't change, skipping",
}
_STAGE = re.compile("|".join(f"(?:{sign})" for sign in _SIGNS.values()), re.MULTILINE)
_DVCS = re.compile(
    r"^(ERROR: |WARNING: |> |Running stage |Updating lock file|To track the changes)"
)
_BAR = re.compile(r"\d+%\|.*\|")
_LAST = 12


def what_happened(log: str) -> dict[str, Happened]:
    """Return for every stage in a log whether it ran or its results were cached."""
    return {
        stage: happened
        for happened, sign in _SIGNS.items()
        for stage in re.findall(sign, log, re.MULTILINE)
    }


def counted(happened: dict[str, Happened]) -> str:
    """Return `3 ran, 1 restored, 8 unchanged`, without the zeros."""
    counts = Counter(happened.values())
    return ", ".join(f"{counts[key]} {key}" for key in _SIGNS if counts[key])


def error_lines(log: str, stage: str) -> list[str]:
    """Return a failed stage's own message: its error as printed, or a traceback's end.

    DVC's own lines are taken only where the stage said nothing, as when it was never begun.
    """
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", _section(log, stage)) if line.strip()]
    own = [line for line in lines if not _DVCS.match(line) and not _BAR.search(line)]
    for number, line in enumerate(own):
        if line.endswith(": cannot go on"):
            return own[number + 1 :]
    tracebacks = [n for n, line in enumerate(own) if line.startswith("Traceback ")]
    if tracebacks:
        own = [line for line in own[tracebacks[-1] + 1 :] if not line.startswith(" ")]
    return (own or [line for line in lines if line.startswith("ERROR: ")])[-_LAST:]


def _section(log: str, stage: str) -> str:
    """Cut out what was printed while one stage of several ran; all of it if none is named."""
    places = [(m.start(), next(filter(None, m.groups()))) for m in _STAGE.finditer(log)]
    for number, (start, name) in enumerate(places):
        if name == stage:
            after = places[number + 1 :]
            return log[start : after[0][0] if after else None]
    return log
