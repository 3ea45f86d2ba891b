"""The report of a pull request: the verdict first, then what it follows from."""

from dataclasses import dataclass, field

from adarank.commands.pull_request.cells import CellChange, noise
from adarank.commands.pull_request.changes import Artifacts, Change
from adarank.commands.pull_request.lock import Stale
from adarank.commands.pull_request.markdown import code, codes, number, section, table
from adarank.commands.pull_request.summary import SUMMARY, Comparison, Study
from adarank.pipeline.params.report import StaleBy

_NAMED = 6  # in the verdict's line; the tables have the rest

Verdicts = list[tuple[Comparison | None, Comparison | None]]


@dataclass(frozen=True)
class Findings:
    """All that the report says.

    Attributes:
        base: The base, in words that Markdown may show.
        locked: Whether there is a dvc.lock on either side, so that there are results to keep.
        stale: Stages that the lock does not describe.
        gone: Whether the base has a summary of results and the working tree none.
        head: The results now; None where there are none.
        metric: The metric, or metrics of several tasks, by which the cells are compared.
        shown: Keys of DVC's metrics that the table of cells has already.
        max_drop: Most that it may get worse; None for no limit.
        stale_fails: By what a stale stage fails the pull request.
        cells: Every cell on both sides.
        verdicts: Comparisons whose verdict is another.
        metrics: What `dvc metrics diff` lists.
        params: What `dvc params diff` lists.
        artifacts: Outputs whose content is another, by folder.
        notes: What the reader must know besides, as Markdown.
    """

    base: str
    locked: bool
    stale: list[Stale]
    gone: bool
    head: Study | None
    metric: str
    max_drop: float | None
    cells: list[CellChange]
    verdicts: Verdicts
    metrics: list[Change]
    params: list[Change]
    artifacts: list[Artifacts]
    notes: list[str] = field(default_factory=list)
    shown: frozenset[str] = frozenset()
    stale_fails: frozenset[StaleBy] = frozenset({"code", "inputs"})

    @property
    def failing(self) -> list[Stale]:
        """The stale stages that fail a pull request."""
        return [one for one in self.stale if one.by & self.stale_fails]

    @property
    def fallen(self) -> list[CellChange]:
        """The cells that fail a pull request: none where there is no threshold."""
        return [] if self.max_drop is None else [cell for cell in self.cells if cell.worse]

    @property
    def passed(self) -> bool:
        """Whether the pull request passes."""
        return not self.failing and not self.gone and not self.fallen


def as_markdown(findings: Findings) -> str:
    """Write the report."""
    by = f" by {code(findings.metric)}" if findings.cells else ""
    parts = [
        f"## Study against {findings.base}",
        verdict(findings),
        "\n".join(f"- {note}" for note in findings.notes),
        section("Lock", _lock(findings)),
        section(f"Cells{by}", _cells(findings)),
        section("Comparisons with another verdict", _verdicts(findings.verdicts)),
        section("Parameters", _changes(findings.params)),
        section("Plans, adapters and other outputs", _artifacts(findings.artifacts)),
        section("Other metrics", _changes(_others(findings))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict(findings: Findings) -> str:
    """Describe in one line whether it passes, and why."""
    if findings.passed:
        return f"**PASS**: {_passing(findings)}"
    fallen = findings.fallen
    why = [_stale_in_words(findings.failing), f"{code(SUMMARY)} is gone" if findings.gone else ""]
    why += [_fall_in_words(cell) for cell in fallen[:_NAMED]]
    why += [f"so do {len(fallen) - _NAMED} cells more"] if len(fallen) > _NAMED else []
    allowed = f" (`report.max_drop` {number(findings.max_drop)})" if fallen else ""
    return f"**FAIL**: {'; '.join(part for part in why if part)}{allowed}"


def _passing(findings: Findings) -> str:
    if not findings.locked:
        return "no dvc.lock on either side, so there are no results to hold it to"
    lock = "dvc.lock is up to date"
    if findings.stale:
        by = " and ".join(sorted(frozenset[str]().union(*(one.by for one in findings.stale))))
        lock = f"dvc.lock is stale by {by} alone, which `report.stale_fails` allows"
    if findings.max_drop is None:
        return f"{lock}; no threshold is set (`report.max_drop: null`)"
    if not any(cell.drop is not None for cell in findings.cells):
        return f"{lock}; no cell has a result on both sides to compare"
    most = f"`report.max_drop` {number(findings.max_drop)}"
    return f"{lock}; no cell got worse by more than {most}"


def _stale_in_words(stale: list[Stale]) -> str:
    names = codes((one.stage for one in stale), most=_NAMED)
    return f"dvc.lock is stale: {names}" if stale else ""


def _fall_in_words(cell: CellChange) -> str:
    if cell.beyond:
        return f"{code(cell.name)} got worse by {number(cell.drop)}"
    failed = len(cell.newly_failed)
    return f"{code(cell.name)} lost results ({failed} seed{'s' * (failed != 1)} newly failed)"


def _lock(findings: Findings) -> str:
    if not findings.stale:
        return "Every stage is as dvc.lock says." if findings.locked else "No dvc.lock."
    rows = [
        [code(one.stage), ", ".join(sorted(one.by)), codes(one.reasons, most=4)]
        for one in findings.stale
    ]
    remedy = (
        "Remedy: `dvc repro`, then commit dvc.lock and metrics/. What follows describes results "
        "that these parameters or this code did not make."
    )
    return f"{table(['stage', 'stale by', 'not as dvc.lock says'], rows)}\n\n{remedy}"


def _cells(findings: Findings) -> str:
    if not findings.head or not findings.cells:
        return "No results."
    rows = [_row(cell, findings) for cell in findings.cells]
    return table(["cell", "base", "head", "difference", "seeds", ""], rows)


def _row(cell: CellChange, findings: Findings) -> list[str]:
    difference = cell.head.mean - cell.base.mean if cell.head and cell.base else None
    seeds = [str(one.n) if one else "-" for one in (cell.base, cell.head)]
    interval = ""
    if cell.head and cell.head.low is not None and cell.head.high is not None:
        interval = f" ± {(cell.head.high - cell.head.low) / 2:.4g}"
    return [
        code(cell.name),
        number(cell.base and cell.base.mean),
        number(cell.head and cell.head.mean) + interval,
        number(difference, "+"),
        seeds[1] if seeds[0] == seeds[1] else " → ".join(seeds),
        _remarks(cell, findings),
    ]


def _remarks(cell: CellChange, findings: Findings) -> str:
    confidence = findings.head.confidence if findings.head else 0.95
    said = [
        "**too far**" if cell.beyond else "",
        cell.state if cell.state != "kept" else "",
        f"**newly failed** {codes(cell.newly_failed, most=4)}" if cell.newly_failed else "",
        noise(cell, confidence),
    ]
    return "; ".join(part for part in said if part)


def _verdicts(verdicts: Verdicts) -> str:
    rows = [_verdict_row(old, new) for old, new in verdicts]
    return table(["cell", "against", "base", "head", ""], rows) if rows else ""


def _verdict_row(old: Comparison | None, new: Comparison | None) -> list[str]:
    key = new.key if new else old.key if old else ("-", "-")
    sides = [code(side.verdict) if side else "-" for side in (old, new)]
    sentence = code(new.sentence, longest=400) if new else "-"
    return [*(code(part) for part in key[:2]), *sides, sentence]


def _others(findings: Findings) -> list[Change]:
    """The metrics that the table of cells does not show."""
    return [change for change in findings.metrics if change.key not in findings.shown]


def _changes(changes: list[Change]) -> str:
    rows = [[code(one.key), _value(one.old), _value(one.new)] for one in changes]
    return table(["", "base", "head"], rows) if rows else ""


def _value(value: object) -> str:
    return number(value) if value is None or isinstance(value, float) else code(value)


def _artifacts(artifacts: list[Artifacts]) -> str:
    rows = [
        [
            code(one.folder),
            *(codes(names) or "-" for names in (one.changed, one.added, one.removed)),
        ]
        for one in artifacts
    ]
    return table(["folder", "changed", "added", "removed"], rows) if rows else ""
