"""Report what a pull request changes in the study, and fail it if its lock or results are bad.

Run: make pr-report BASE=main, or python -m adarank.commands.pull_request --base main
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from adarank.commands.pull_request import changes, git
from adarank.commands.pull_request.cells import (
    CellChange,
    cell_changes,
    compared_metric,
    verdict_changes,
)
from adarank.commands.pull_request.lock import stale_stages
from adarank.commands.pull_request.markdown import code
from adarank.commands.pull_request.report import Findings, as_markdown
from adarank.commands.pull_request.summary import SUMMARY, Comparison, Study, parsed
from adarank.errors import InputError
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, say, telling_errors
from adarank.pipeline.files.whole import write_bytes
from adarank.pipeline.params.loader import load
from adarank.pipeline.params.report import Params, Report

FOLDER = Path("pr-report")
LOCK = "dvc.lock"

app = typer.Typer(add_completion=False)


@app.command(
    epilog="Exit code 0: it passes. 1: dvc.lock is stale, or a cell got worse by more than "
    "report.max_drop or lost seeds. 2: the two sides cannot be compared."
)
def main(
    base: Annotated[str, typer.Option(help="The branch, tag or commit to compare with.")] = "main",
    params: ParamsFile = PARAMS_FILE,
) -> None:
    """Compare the working tree with where its branch left BASE; writes pr-report/."""
    with telling_errors("pull_request"):
        commit = git.base_commit(base)
        findings = find(commit, base, load(Params, params).report)
        findings.notes.extend(filter(None, [changes.draw_plots(commit, FOLDER / "plots")]))
        text = as_markdown(findings)
        write_bytes(FOLDER / "report.md", text.encode())
        typer.echo(text, nl=False)
        _summarise(text)
    if not findings.passed:
        raise typer.Exit(1)


def find(commit: str, base: str, limits: Report) -> Findings:
    """Gather what differs between a commit and the working tree."""
    locked = Path(LOCK).exists() or git.shown(commit, LOCK) is not None
    notes: list[str] = []
    old, new = _summary_of_base(commit, notes), _summary_now()
    tasks = list(dict.fromkeys([*(old.tasks if old else ()), *new.tasks])) if new else []
    compared: dict[str, str] = {}
    cells: list[CellChange] = []
    verdicts: list[tuple[Comparison | None, Comparison | None]] = []
    for task in tasks:
        before, now = old.of(task) if old else None, new.of(task) if new else None
        if now is None:
            continue
        compared[task] = compared_metric(before, now)
        cells += cell_changes(before, now, limits.max_drop)
        verdicts += verdict_changes(before, now)
    if old and new:
        _note_tasks(old, new, compared, notes)
    _note_sides(old, new, notes)
    params = changes.param_changes(commit)
    if any(one.key.startswith("report.") for one in params):
        notes.append("**What fails a pull request changes itself**: see `report` below.")
    return Findings(
        base=f"{code(base)} ({code(commit[:9])})",
        locked=locked,
        stale=stale_stages() if locked else [],
        gone=old is not None and new is None,
        head=new,
        metric=", ".join(dict.fromkeys(compared.values())) or "-",
        shown=frozenset(
            f"{task}.{compared[task]}.{plan}"
            for task, _, plan in (cell.name.partition("/") for cell in cells)
        ),
        max_drop=limits.max_drop,
        stale_fails=frozenset(limits.stale_fails),
        cells=cells,
        verdicts=verdicts,
        metrics=changes.metric_changes(commit),
        params=params,
        artifacts=changes.artifact_changes(commit),
        notes=notes,
    )


def _note_tasks(old: Study, new: Study, compared: dict[str, str], notes: list[str]) -> None:
    """Describe which tasks are gone, and which have another headline metric."""
    for task in old.tasks:
        before, now = old.of(task), new.of(task)
        if now is None:
            notes.append(f"The study no longer has the task {code(task)}.")
        elif before and before.headline != now.headline:
            notes.append(
                f"**{task}: the headline metric was {code(before.headline)} and is "
                f"{code(now.headline)}; compared is {code(compared[task])}, where both have it.**"
            )


def _note_sides(old: Study | None, new: Study | None, notes: list[str]) -> None:
    """Describe what makes the two sides not comparable."""
    waiting = git.uncommitted()
    if waiting:
        notes.append(f"Not committed yet, and read as it is: {', '.join(map(code, waiting[:8]))}")
    if old is None or new is None:
        return
    if old.seeds != new.seeds:
        notes.append(f"Other seeds: {code(old.seeds)}, now {code(new.seeds)}")


def _summary_of_base(commit: str, notes: list[str]) -> Study | None:
    text = git.shown(commit, SUMMARY)
    if text is None:
        notes.append(f"The base has no {code(SUMMARY)}, so there is nothing to compare with.")
        return None
    try:
        return parsed(text, "at the base")
    except InputError:
        notes.append(f"The base's {code(SUMMARY)} is of another form, so it is not compared.")
        return None


def _summary_now() -> Study | None:
    text = _read(SUMMARY)
    return None if text is None else parsed(text, "of the working tree")


def _read(path: str) -> str | None:
    return Path(path).read_text(encoding="utf-8") if Path(path).is_file() else None


def _summarise(text: str) -> None:
    """Show the report on the page of a GitHub run, if this is one."""
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page:
        with Path(page).open("a", encoding="utf-8") as stream:
            stream.write(text)
    else:
        say(f"pull_request: {FOLDER}/report.md, {FOLDER}/plots/index.html")


if __name__ == "__main__":
    app()
